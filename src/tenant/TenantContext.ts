/**
 * What the tenants of a broker share, and how a tenant's router and sessions get what they need of it.
 *
 * Owns nothing: the tenant keeps what is made here, and its durability is asked for each time, because it may
 * change.
 */

import * as Effect from "effect/Effect"
import type { ForkChild } from "../actor/Actor.ts"
import type { Dispatcher } from "../actor/Dispatcher.ts"
import type { Timekeeper } from "../actor/Timekeeper.ts"
import type { Identity } from "../auth/Authenticator.ts"
import type { Forwarding } from "../cluster/Forwarder.ts"
import type { Event } from "../events/Event.ts"
import { Router, type RouterOptions } from "../router/Router.ts"
import type { SessionServices } from "../session/SessionServices.ts"
import type { DurabilityLevel, JournalUnit } from "../storage/Journal.ts"
import type { UsageStore } from "../storage/UsageStore.ts"
import type { Counters } from "../telemetry/Counters.ts"
import type { Redirect } from "./ClientBalancer.ts"
import type { Policy } from "./policy/TenantPolicy.ts"
import { isAnswered } from "./policy/Verdict.ts"

/** What all tenants of a broker share. */
export interface TenantContext {
  readonly dispatcher: Dispatcher
  readonly timekeeper: Timekeeper
  readonly report: (event: Event) => void
  /** Numbers by chance, which a tenant shares with no other. */
  readonly random: (tenant: string) => () => number
  /** Where a client of a tenant that is drained should go; undefined when nobody can say. Does not fail. */
  readonly redirect: (identity: Identity) => Effect.Effect<Redirect | undefined>
  /** What tenants have used before; undefined where nothing is kept of it. */
  readonly usage: UsageStore["Type"] | undefined
  /** A tenant's way to the other nodes. */
  readonly forwarding: (tenant: string) => Forwarding
  /** A tenant's policy, which does not fail; undefined when it has none. */
  readonly policy: (tenant: string, counters: Counters) => Policy | undefined
  readonly services: Pick<
    SessionServices,
    "tracing" | "settle" | "answers" | "authenticate" | "permissions" | "journal" | "readQueue"
  >
}

/** What of a router is its tenant's own. */
export interface RouterPart
  extends Pick<
    RouterOptions,
    | "tenant"
    | "runQueue"
    | "wheel"
    | "fork"
    | "settings"
    | "counters"
    | "quota"
    | "onDefect"
    | "judgePublishers"
  > {
  readonly durability: () => DurabilityLevel
}

export const makeRouter = (context: TenantContext, { durability, ...own }: RouterPart): Router => {
  const { dispatcher, random, report } = context
  const { journal } = context.services
  const append = (unit: Pick<JournalUnit, "records" | "isRefusable" | "committed">) =>
    journal.append({ ...unit, level: durability(), weight: own.settings.weight, mayWait: false })
  return new Router({
    ...own,
    store: (records, committed) => append({ records, isRefusable: true, committed }),
    keep: (records) => append({ records, isRefusable: false, committed: () => {} }),
    canStore: () => durability() === "memory" || journal.status() !== "failing",
    random: random(own.tenant),
    report,
    forwarding: context.forwarding(own.tenant),
    nowMs: () => dispatcher.nowMs
  })
}

/** What of its sessions' services is the tenant's own. */
export interface SessionServicesPart extends Pick<SessionServices, "durability" | "ended" | "failed"> {
  readonly fork: ForkChild
}

export const makeSessionServices = (
  context: TenantContext,
  { durability, ended, failed, fork }: SessionServicesPart
): SessionServices => ({
  ...context.services,
  nowMs: () => context.dispatcher.nowMs,
  report: context.report,
  durability,
  decideLater: (decision, then) => {
    if (typeof decision === "boolean") return then(decision)
    fork(Effect.map(context.services.settle([decision]), ([allowed]) => then(allowed === true)))
  },
  answerLater: (answer, then) => {
    if (isAnswered(answer)) then(answer)
    else fork(Effect.map(answer, then))
  },
  ended,
  failed
})
