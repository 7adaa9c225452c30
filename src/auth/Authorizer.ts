/**
 * What a client may do: the port that turns an identity into `Permissions`, once, at CONNECT.
 *
 * A permission answers synchronously (the way of rules that were compiled) or with an Effect when it must ask
 * somebody; the session then parks the client's packets, in order, until the answer is there. An Effect that
 * dies means no.
 */

import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { Qos } from "../protocol/Packet.ts"
import { Acl, type AclRule } from "./Acl.ts"
import type { Identity } from "./Authenticator.ts"

export type Decision = boolean | Effect.Effect<boolean>

export interface Permissions {
  /**
   * May it publish to this topic? Asked for every PUBLISH, and for the will at CONNECT and again when it
   * fires.
   */
  readonly publish: (topic: string, qos: Qos, retain: boolean) => Decision
  /**
   * May it subscribe to this filter? Without the `$share/group/` in front, which is `group`. True must hold
   * for every topic that matches.
   */
  readonly subscribe: (topicFilter: string, qos: Qos, group: string | undefined) => Decision
  /**
   * Asked for each delivery where a deny lies inside an allowed wildcard; undefined where there is no such
   * thing.
   */
  readonly deliver: ((topic: string) => boolean) | undefined
}

/** The permissions cannot be told now. Handled by the connection: CONNACK 0x88 (v3: 3). */
export class AuthorizationUnavailable extends Data.TaggedError("AuthorizationUnavailable")<{
  readonly reason: string
}> {}

export class Authorizer extends Context.Tag("heddle/Authorizer")<
  Authorizer,
  {
    readonly permissions: (identity: Identity) => Effect.Effect<Permissions, AuthorizationUnavailable>
  }
>() {
  /** Everything is allowed. */
  static readonly layerAllowAll = Layer.succeed(Authorizer, { permissions: () => Effect.succeed(allowAll) })

  /** What a client's credentials grant; everything to those whose credentials say nothing of it. */
  static readonly layerGranted = Layer.succeed(Authorizer, {
    permissions: ({ rules }) => Effect.sync(() => (rules === undefined ? allowAll : new Acl(rules)))
  })

  /** The rules that `rulesOf` gives for an identity; what no rule allows is denied. */
  static readonly layerRules = (rulesOf: (identity: Identity) => ReadonlyArray<AclRule>) =>
    Layer.succeed(Authorizer, { permissions: (identity) => Effect.sync(() => new Acl(rulesOf(identity))) })
}

export const allowAll: Permissions = { publish: () => true, subscribe: () => true, deliver: undefined }

/** How long a decision may take. */
const DECISION_MS_MAX = 10_000

/**
 * Settles decisions to booleans, in their order; one that fails, dies or takes longer than ten seconds means
 * no.
 */
export const settleDecisions = (decisions: ReadonlyArray<Decision>): Effect.Effect<ReadonlyArray<boolean>> =>
  decisions.every(isSettled)
    ? Effect.succeed(decisions)
    : Effect.forEach(decisions, settle, { concurrency: 16 })

const isSettled = (decision: Decision): decision is boolean => typeof decision === "boolean"

const settle = (decision: Decision): Effect.Effect<boolean> =>
  isSettled(decision)
    ? Effect.succeed(decision)
    : Effect.timeoutOption(decision, DECISION_MS_MAX).pipe(
        Effect.map((allowed) => Option.getOrUndefined(allowed) === true),
        Effect.catchAllCause(() => Effect.succeed(false))
      )

/** Permissions that say no where the given ones throw, or answer with what is no decision. */
export const failClosed = (permissions: Permissions): Permissions => {
  if (permissions === allowAll || permissions instanceof Acl) return permissions
  const { deliver } = permissions
  return {
    publish: (topic, qos, retain) => decide(() => permissions.publish(topic, qos, retain)),
    subscribe: (topicFilter, qos, group) => decide(() => permissions.subscribe(topicFilter, qos, group)),
    deliver: deliver && ((topic) => decide(() => deliver(topic)) === true)
  }
}

const decide = (ask: () => Decision): Decision => {
  try {
    const decision = ask()
    return decision === true || Effect.isEffect(decision) ? decision : false
  } catch {
    return false
  }
}
