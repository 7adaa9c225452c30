/**
 * Keeps the answers of an authorizer that has to ask for each action: yes and no, for a while, at most so
 * many. No answer is not kept. What is answered at once is left alone.
 *
 * When the authorizer says that permissions have changed everything is forgotten, and so it is on `forget`.
 */

import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Authorizer, Decision, Permissions } from "./Authorizer.ts"
import { BoundedTable, tableKey } from "./guard/BoundedTable.ts"

export interface CachedOptions {
  /** How long a yes and a no are kept; 0 does not keep them. */
  readonly allowedTtlMs: number
  readonly refusedTtlMs: number
  readonly sizeMax: number
}

interface Kept {
  readonly allowed: boolean
  readonly untilMs: number
}

/** Answers about longer topics are not kept: those who send them choose what fills the memory. */
const TOPIC_LENGTH_MAX = 512

export const cached = (
  authorizer: Authorizer["Type"],
  { allowedTtlMs, refusedTtlMs, sizeMax }: CachedOptions
): Effect.Effect<Authorizer["Type"]> =>
  Effect.map(Effect.clock, (clock) => {
    let kept = new BoundedTable<Kept>(sizeMax)
    const forget = () => {
      kept = new BoundedTable(sizeMax)
    }
    /** By what is kept; else asks, and keeps what is answered before everything is forgotten. */
    const judged = (key: string, ask: () => Decision): Decision => {
      const known = kept.get(key)
      if (known !== undefined && clock.unsafeCurrentTimeMillis() < known.untilMs) return known.allowed
      const decision = ask()
      if (!Effect.isEffect(decision) || key.length > TOPIC_LENGTH_MAX) return decision
      const table = kept
      return Effect.tap(decision, (allowed) => {
        const ttlMs = allowed === true ? allowedTtlMs : refusedTtlMs
        if (typeof allowed !== "boolean" || ttlMs === 0) return
        table.set(key, { allowed, untilMs: clock.unsafeCurrentTimeMillis() + ttlMs })
      })
    }
    const keeping = (permissions: Permissions, client: string): Permissions => ({
      ...permissions,
      publish: (topic, qos, retain) =>
        judged(`${client} publish ${qos} ${retain} ${topic}`, () => permissions.publish(topic, qos, retain)),
      subscribe: (topicFilter, qos, group) =>
        judged(`${client} subscribe ${qos} ${JSON.stringify(group)} ${topicFilter}`, () =>
          permissions.subscribe(topicFilter, qos, group)
        )
    })
    return {
      ...authorizer,
      permissions: (identity) =>
        Effect.map(authorizer.permissions(identity), (permissions) =>
          keeping(permissions, tableKey(identity.tenant, identity.principal, identity.clientId))
        ),
      forget: () => {
        forget()
        authorizer.forget?.()
      },
      changes: authorizer.changes && Stream.tap(authorizer.changes, () => Effect.sync(forget))
    }
  })
