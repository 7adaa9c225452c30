/**
 * Policies: code of the operator's that admits clients, lets their messages and subscriptions through,
 * changes them or refuses them, and sets what a tenant is granted.
 *
 * A policy is a record of hooks, all optional; one that is not there costs nothing. A hook answers at once,
 * or with an Effect when it has to ask somebody: what its client sends then waits, in order, and nobody else
 * does. Whatever a hook makes of a message is judged by permissions and limits afterwards, so that a policy
 * can take away and never grant. A hook that throws, takes too long or answers nonsense has said no. One that
 * never returns at all (an endless loop) stops the broker, as any code within it would.
 *
 * `composed.ts` makes one policy of several; `mount.ts` and `payloadSchema.ts` are policies ready to use.
 */

import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Identity } from "../../auth/Authenticator.ts"
import type { ProtocolVersion, SubscriptionRequest, UserProperties } from "../../protocol/Packet.ts"
import type { SettingOverrides } from "../settings/overrides.ts"
import { composed } from "./composed.ts"
import type { PolicyMessage } from "./PolicyMessage.ts"
import type {
  AdmitVerdict,
  Answer,
  DeliverVerdict,
  PublishVerdict,
  SubscribeVerdict,
  UnsubscribeVerdict
} from "./Verdict.ts"

/** A client that has been authenticated and asks for its session. */
export interface Newcomer {
  readonly identity: Identity
  readonly protocolVersion: ProtocolVersion
  readonly cleanStart: boolean
  /** Seconds. */
  readonly keepAlive: number
  /** Seconds, as asked for; 4294967295 never expires. */
  readonly sessionExpiryInterval: number
  readonly userProperties: UserProperties
  readonly hasWill: boolean
}

/** One filter of a SUBSCRIBE. */
export interface PolicySubscription extends SubscriptionRequest {
  /** Without the `$share/group/` in front. */
  readonly topicFilter: string
  /** Undefined for a subscription that is not shared. */
  readonly group: string | undefined
  /** Of the whole SUBSCRIBE. */
  readonly userProperties: UserProperties
}

/** One filter of an UNSUBSCRIBE, without the `$share/group/` in front. */
export type PolicyUnsubscription = Pick<PolicySubscription, "topicFilter" | "group" | "userProperties">

/**
 * The hooks. `client` is who is connected. Of a client that has not come back since the broker started, and
 * whose will is due, only tenant, principal and client identifier are known: it `isAbsent`.
 */
export interface Policy {
  /** May it have its session? Asked after authentication, before anything of the session is touched. */
  readonly admit?: (newcomer: Newcomer) => Answer<AdmitVerdict>
  /** Asked for every PUBLISH with a valid topic, and for a will at CONNECT and again when it is due. */
  readonly publish?: (message: PolicyMessage, client: Identity) => Answer<PublishVerdict>
  /** Asked for each valid filter of a SUBSCRIBE. */
  readonly subscribe?: (subscription: PolicySubscription, client: Identity) => Answer<SubscribeVerdict>
  /** The same of an UNSUBSCRIBE. Who renames filters in `subscribe` must rename them here, too. */
  readonly unsubscribe?: (subscription: PolicyUnsubscription, client: Identity) => Answer<UnsubscribeVerdict>
  /** Asked before a message leaves for a client, which `client` is; and again when it has to be resent. */
  readonly deliver?: (message: PolicyMessage, client: Identity) => Answer<DeliverVerdict>
  /**
   * What a tenant is granted other than its directory says. Asked when the tenant's first client comes, and
   * with each reload; a failure keeps what is in force, or has the tenant's clients wait outside.
   */
  readonly settings?: (tenant: string) => Answer<SettingOverrides>
}

interface PolicyOptions {
  /** How long an answer may take. */
  readonly timeoutMs?: number
}

export interface Policies {
  /** The policy of a tenant, asked for when the tenant is made; undefined when it has none. */
  readonly of: (tenant: string) => Policy | undefined
  readonly timeoutMs: number
}

const TIMEOUT_MS = 5000

export class TenantPolicy extends Context.Reference<TenantPolicy>()("heddle/TenantPolicy", {
  defaultValue: (): Policies => ({ of: () => undefined, timeoutMs: TIMEOUT_MS })
}) {
  /** One policy for every tenant. */
  static readonly layer = (policy: Policy, options: PolicyOptions = {}): Layer.Layer<TenantPolicy> =>
    TenantPolicy.forTenant(() => policy, options)

  /** Each tenant its own, by name; undefined is none. */
  static readonly forTenant = (
    of: (tenant: string) => Policy | undefined,
    { timeoutMs = TIMEOUT_MS }: PolicyOptions = {}
  ): Layer.Layer<TenantPolicy> => Layer.succeed(TenantPolicy, { of, timeoutMs })

  /** One that needs services to be made, such as a connection to a database. */
  static readonly layerEffect = <E, R>(
    policy: Effect.Effect<Policy, E, R>,
    { timeoutMs = TIMEOUT_MS }: PolicyOptions = {}
  ): Layer.Layer<TenantPolicy, E, R> =>
    Layer.effect(
      TenantPolicy,
      Effect.map(policy, (made) => ({ of: () => made, timeoutMs }))
    )

  /** The policies of the context with one more behind them, as `composed` puts them together. */
  static readonly layerThen = (policy: Policy): Layer.Layer<TenantPolicy> =>
    Layer.effect(
      TenantPolicy,
      Effect.map(TenantPolicy, (before) => ({
        of: (tenant: string) => composed(before.of(tenant) ?? {}, policy),
        timeoutMs: before.timeoutMs
      }))
    )
}
