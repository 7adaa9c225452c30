/**
 * What a client may do: the port that turns an identity into `Permissions`, once, at CONNECT.
 *
 * A permission answers synchronously (the way of rules that were compiled) or with an Effect when it must ask somebody;
 * the session then parks the client's packets, in order, until the answer is there. An Effect that dies means no.
 */

import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Acl, type AclRule } from "./Acl.ts"
import type { Identity } from "./Authenticator.ts"

export type Decision = boolean | Effect.Effect<boolean>

export interface Permissions {
  /** May it publish to this topic? Asked for every PUBLISH, and for the will at CONNECT and again when it fires. */
  readonly publish: (topic: string) => Decision
  /** May it subscribe to this filter? Without the `$share/group/` in front. True must hold for every topic that matches. */
  readonly subscribe: (topicFilter: string) => Decision
  /** Asked for each delivery where a deny lies inside an allowed wildcard; undefined where there is no such thing. */
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

  /** The rules that `rulesOf` gives for an identity; what no rule allows is denied. */
  static readonly layerRules = (rulesOf: (identity: Identity) => ReadonlyArray<AclRule>) =>
    Layer.succeed(Authorizer, { permissions: (identity) => Effect.sync(() => new Acl(rulesOf(identity))) })
}

export const allowAll: Permissions = { publish: () => true, subscribe: () => true, deliver: undefined }

/** Settles decisions to booleans, in their order; one that fails or dies means no. */
export const settleDecisions = (decisions: ReadonlyArray<Decision>): Effect.Effect<ReadonlyArray<boolean>> =>
  Effect.forEach(decisions, (decision) =>
    typeof decision === "boolean"
      ? Effect.succeed(decision)
      : Effect.catchAllCause(decision, () => Effect.succeed(false))
  )
