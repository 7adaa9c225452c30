/**
 * What a client may do: the port that turns an identity into `Permissions`, at CONNECT and again whenever the
 * authorizer says that something has changed.
 *
 * A permission answers synchronously (the way of rules that were compiled) or with an Effect when it must ask
 * somebody; the session then parks the client's packets, in order, until the answer is there. An Effect that
 * fails or dies means no to what is asked, and takes away nothing that was given before: who cannot be asked
 * has not withdrawn it.
 */

import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import type { Qos } from "../protocol/Packet.ts"
import { loggable, quietly } from "../telemetry/redaction.ts"
import { Acl, type AclRule, type Action, type Explanation } from "./Acl.ts"
import type { Identity } from "./Authenticator.ts"

/** A failure says that there is no answer. */
export type Decision = boolean | Effect.Effect<boolean, AuthorizationUnavailable>

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
   * thing. `qos` is that of the delivery, `group` the name of the shared subscription that it comes through.
   */
  readonly deliver: ((topic: string, qos?: Qos, group?: string | undefined) => boolean) | undefined
  /**
   * The same for what was queued before permissions changed: may it be received at all? Where this is
   * undefined, that is so if a subscription that the client still holds matches the topic.
   */
  readonly receive?: ((topic: string, qos?: Qos, group?: string | undefined) => boolean) | undefined
  /** What decides on an action; does not decide anything. */
  readonly explain?: ((action: Action) => Explanation) | undefined
  /**
   * They were made for an identity that `isAbsent`, and say no only to what would be refused whatever is not
   * known of it. Without it what an absent client holds is left until it comes.
   */
  readonly isForAbsent?: boolean | undefined
}

/** Permissions are others now: of one tenant's clients, or of everybody's. */
export interface PermissionsChanged {
  readonly tenant?: string | undefined
}

/** The permissions cannot be told now. Handled by the connection: CONNACK 0x88 (v3: 3). */
export class AuthorizationUnavailable extends Data.TaggedError("AuthorizationUnavailable")<{
  readonly reason: string
}> {}

export class Authorizer extends Context.Tag("heddle/Authorizer")<
  Authorizer,
  {
    readonly permissions: (identity: Identity) => Effect.Effect<Permissions, AuthorizationUnavailable>
    /**
     * Says when permissions have changed: what clients hold is then judged again. Without it they are asked
     * for again when a client connects, or when `Broker.reauthorize` is called.
     */
    readonly changes?: Stream.Stream<PermissionsChanged> | undefined
    /** Forgets answers that it has kept: what is asked next is asked anew. */
    readonly forget?: (() => void) | undefined
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

export const allowAll: Permissions = {
  publish: () => true,
  subscribe: () => true,
  deliver: undefined,
  receive: () => true,
  explain: () => ({ allowed: true, why: "everything is allowed" }),
  isForAbsent: true
}

/** How long a decision may take, and the permissions of a client. */
const DECISION_MS_MAX = 10_000

/**
 * Asks an authorizer for permissions that can be relied on: whatever it does wrong is that there is no
 * answer. An answer that is there at once comes back as it is, as an `Exit`.
 */
export const askPermissions = (
  { permissions }: Authorizer["Type"],
  identity: Identity
): Effect.Effect<Permissions, AuthorizationUnavailable> => {
  try {
    const asked = permissions(identity)
    if (Exit.isExit(asked) && Exit.isSuccess(asked))
      return Effect.succeed(failClosed(asked.value as Permissions))
    // Disconnected: one that cannot be interrupted is not waited for, either.
    return Effect.disconnect(asked).pipe(
      Effect.map(failClosed),
      Effect.timeoutFail({ duration: DECISION_MS_MAX, onTimeout: () => noAnswer("in time") }),
      Effect.catchAllDefect((defect) => nonsense(defect, identity)),
      quietly
    )
  } catch (defect) {
    return nonsense(defect, identity)
  }
}

const nonsense = (
  defect: unknown,
  { clientId, tenant }: Identity
): Effect.Effect<never, AuthorizationUnavailable> =>
  Effect.logError("the authorizer failed", loggable(Cause.die(defect))).pipe(
    Effect.annotateLogs({ tenant, clientId }),
    Effect.zipRight(noAnswer("that makes sense"))
  )

const noAnswer = (what: string): AuthorizationUnavailable =>
  new AuthorizationUnavailable({ reason: `the authorizer gives no answer ${what}` })

/** Decisions of one client that are waited for at a time. */
const CONCURRENCY = 16

/**
 * Settles decisions to booleans, in their order; one that fails, dies or takes longer than ten seconds means
 * no.
 */
export const settleDecisions = (decisions: ReadonlyArray<Decision>): Effect.Effect<ReadonlyArray<boolean>> =>
  decisions.every(isSettled)
    ? Effect.succeed(decisions)
    : Effect.map(answersTo(decisions), (answers) => answers.map((answer) => answer === true))

/** The same where no answer is not a no: undefined for a decision that fails, dies or takes too long. */
export const answersTo = (
  decisions: ReadonlyArray<Decision>
): Effect.Effect<ReadonlyArray<boolean | undefined>> =>
  quietly(Effect.forEach(decisions, answerTo, { concurrency: CONCURRENCY }))

const isSettled = (decision: Decision): decision is boolean => typeof decision === "boolean"

const answerTo = (decision: Decision): Effect.Effect<boolean | undefined> =>
  isSettled(decision)
    ? Effect.succeed(decision)
    : Effect.timeoutOption(Effect.disconnect(decision), DECISION_MS_MAX).pipe(
        Effect.map(Option.getOrUndefined),
        // What is neither is no answer.
        Effect.map((answer) => (typeof answer === "boolean" ? answer : undefined)),
        Effect.catchAllCause(() => Effect.succeed(undefined))
      )

/** Permissions that say no where the given ones throw, or answer with what is no decision. */
export const failClosed = (permissions: Permissions): Permissions => {
  if (permissions === allowAll || permissions instanceof Acl) return permissions
  const { deliver, explain, isForAbsent, receive } = permissions
  return {
    publish: (topic, qos, retain) => decide(() => permissions.publish(topic, qos, retain)),
    subscribe: (topicFilter, qos, group) => decide(() => permissions.subscribe(topicFilter, qos, group)),
    deliver: deliver && ((...delivery) => decide(() => deliver(...delivery)) === true),
    receive: receive && ((...delivery) => decide(() => receive(...delivery)) === true),
    explain,
    isForAbsent
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
