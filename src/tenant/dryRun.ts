/**
 * What other permissions would take away from a tenant's clients: asked of live sessions and of retained
 * messages, without changing anything.
 *
 * It tells what is lost beside what is allowed now; what was refused anyway is not lost. Of a client that is
 * absent, and of publishers that are gone, that is told which would be lost whatever is not known of them.
 */

import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Action, ExplainedRule } from "../auth/Acl.ts"
import type { Identity } from "../auth/Authenticator.ts"
import {
  type AuthorizationUnavailable,
  answersTo,
  type Decision,
  type Permissions
} from "../auth/Authorizer.ts"
import type { Publication } from "../router/Publication.ts"
import type { RetainedPage } from "../router/Subscriber.ts"
import type { SessionHandle } from "../session/SessionHandle.ts"
import type { Survey } from "../session/survey.ts"
import { absentIdentity } from "./absentClient.ts"
import type { Tenant } from "./Tenant.ts"

export interface Loss {
  /** `publish`: a topic that the client has published to lately. */
  readonly what: "subscribe" | "publish" | "will" | "retained"
  readonly clientId: string
  readonly principal: string
  readonly isConnected: boolean
  /** The topic, or the filter as the client wrote it. */
  readonly topic: string
  /** The rule that would take it; undefined where there is none that allows it, or none is known. */
  readonly rule: ExplainedRule | undefined
}

export interface DryRun {
  readonly sessions: number
  readonly retained: number
  readonly losses: ReadonlyArray<Loss>
  /** Whom nobody can tell of: a session did not answer, or the authorizer did not. */
  readonly unknown: number
}

export type PermissionsOf = (identity: Identity) => Effect.Effect<Permissions, AuthorizationUnavailable>

const CONCURRENCY = 32
const ANSWER_MS_MAX = 5000
const PAGE = 256

/** What a client has, and what becomes of it. */
interface Judged {
  readonly what: Loss["what"]
  readonly topic: string
  readonly now: Decision
  readonly next: Decision
  readonly action: Action
}

export const dryRun = (tenant: Tenant, permissionsOf: PermissionsOf): Effect.Effect<DryRun> =>
  Effect.gen(function* () {
    const losses: Array<Loss> = []
    const identities = new Map<string, Identity>()
    let sessions = 0
    let unknown = 0
    const judgeSession = (session: SessionHandle) =>
      Effect.gen(function* () {
        const survey = yield* surveyed(session)
        const next = survey && (yield* Effect.option(permissionsOf(survey.identity)))
        if (survey === undefined || next === undefined || Option.isNone(next)) {
          unknown++
          return
        }
        sessions++
        identities.set(session.clientId, survey.identity)
        const permissions = next.value
        if (survey.identity.isAbsent === true && permissions.isForAbsent !== true) return
        const { lost, missing } = yield* settled(judgedOf(survey, permissions))
        unknown += missing
        losses.push(...lost.map((judged) => lossOf(judged, survey, permissions)))
      })
    yield* Effect.forEach([...tenant.clients()], judgeSession, { concurrency: CONCURRENCY, discard: true })
    const kept = yield* retainedOf(tenant)
    const retained = yield* lostRetained(kept, { tenant: tenant.id, identities, permissionsOf })
    return { sessions, retained: kept.length, losses: [...losses, ...retained], unknown }
  })

const surveyed = (session: SessionHandle): Effect.Effect<Survey | undefined> =>
  Effect.async<Survey | undefined>((resume) => {
    session.signal({ _tag: "Survey", reply: (survey) => resume(Effect.succeed(survey)) })
  }).pipe(Effect.timeoutOption(ANSWER_MS_MAX), Effect.map(Option.getOrUndefined))

const judgedOf = (survey: Survey, next: Permissions): ReadonlyArray<Judged> => {
  const { permissions, subscriptions, topics, will } = survey
  const publishing = (what: "publish" | "will", topic: string, qos: 0 | 1 | 2, retain: boolean): Judged => ({
    what,
    topic,
    now: permissions.publish(topic, qos, retain),
    next: next.publish(topic, qos, retain),
    action: { _tag: "Publish", topic, qos, retain }
  })
  return [
    // What it holds it was allowed, whatever can be said of that now.
    ...subscriptions.map(({ group, qos, text, topicFilter }): Judged => {
      const action = { _tag: "Subscribe", topicFilter, qos, group } as const
      return {
        what: "subscribe",
        topic: text,
        now: true,
        next: next.subscribe(topicFilter, qos, group),
        action
      }
    }),
    ...topics.map((topic) => publishing("publish", topic, 0, false)),
    ...(will === undefined ? [] : [publishing("will", will.topic, will.qos, will.retain)])
  ]
}

/** Those that are allowed now and would not be then, and how many there is no answer for. */
const settled = (
  judged: ReadonlyArray<Judged>
): Effect.Effect<{ readonly lost: ReadonlyArray<Judged>; readonly missing: number }> =>
  Effect.map(answersTo(judged.flatMap(({ next, now }) => [now, next])), (answers) => {
    const lost = judged.filter((_, index) => answers[2 * index] === true && answers[2 * index + 1] === false)
    return { lost, missing: answers.filter((answer) => answer === undefined).length }
  })

const lossOf = (
  { action, topic, what }: Judged,
  { identity, isConnected }: Survey,
  next: Permissions
): Loss => ({
  what,
  clientId: identity.clientId,
  principal: identity.principal,
  isConnected,
  topic,
  rule: next.explain?.(action).rule
})

/** All that new subscribers would be given now. */
const retainedOf = (tenant: Tenant): Effect.Effect<ReadonlyArray<Publication>> =>
  Effect.gen(function* () {
    const found: Array<Publication> = []
    let from: string | undefined
    do {
      const page = yield* retainedPage(tenant, from)
      found.push(...(page?.publications ?? []))
      from = page?.cursor
    } while (from !== undefined)
    return found
  })

const retainedPage = (tenant: Tenant, from: string | undefined): Effect.Effect<RetainedPage | undefined> =>
  Effect.async<RetainedPage>((resume) => {
    const reader = { clientId: "", retainedPage: (page: RetainedPage) => resume(Effect.succeed(page)) }
    tenant.readRetained({ subscriber: reader, topicFilter: "#", from, limit: PAGE })
  }).pipe(Effect.timeoutOption(ANSWER_MS_MAX), Effect.map(Option.getOrUndefined))

interface Publishers {
  readonly tenant: string
  /** Of live sessions, by client identifier. */
  readonly identities: ReadonlyMap<string, Identity>
  readonly permissionsOf: PermissionsOf
}

const lostRetained = (
  publications: ReadonlyArray<Publication>,
  { identities, permissionsOf, tenant }: Publishers
): Effect.Effect<ReadonlyArray<Loss>> => {
  const judge = ({ publisherId: clientId, publisherPrincipal: principal, qos, topic }: Publication) =>
    Effect.gen(function* () {
      if (principal === undefined) return []
      const known = identities.get(clientId)
      const identity =
        known?.principal === principal ? known : absentIdentity(tenant, { clientId, principal })
      const permissions = Option.getOrUndefined(yield* Effect.option(permissionsOf(identity)))
      if (permissions === undefined || (identity.isAbsent === true && permissions.isForAbsent !== true))
        return []
      const [allowed] = yield* answersTo([permissions.publish(topic.name, qos, true)])
      if (allowed !== false) return []
      const action = { _tag: "Publish", topic: topic.name, qos, retain: true } as const
      const rule = permissions.explain?.(action).rule
      return [{ what: "retained", clientId, principal, isConnected: false, topic: topic.name, rule } as const]
    })
  return Effect.map(Effect.forEach(publications, judge, { concurrency: CONCURRENCY }), (losses) =>
    losses.flat()
  )
}
