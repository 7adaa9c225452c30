/**
 * What the tenants and the handshakes of a broker share, made of the services that it is composed of.
 * Whatever a service throws, or does not answer, is turned into an answer here.
 */

import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Dispatcher } from "./actor/Dispatcher.ts"
import type { Timekeeper } from "./actor/Timekeeper.ts"
import {
  type AuthenticationStep,
  Authenticator,
  type Identity,
  secretBytes,
  soundStep
} from "./auth/Authenticator.ts"
import { Authorizer, answersTo, askPermissions, settleDecisions } from "./auth/Authorizer.ts"
import { BanList } from "./auth/guard/BanList.ts"
import { makeForwarder } from "./cluster/node.ts"
import type { ServeContext } from "./connection/serve.ts"
import type { Event } from "./events/Event.ts"
import { ReasonCode } from "./protocol/ReasonCode.ts"
import type { SessionServices } from "./session/SessionServices.ts"
import { Journal } from "./storage/Journal.ts"
import { SessionStore } from "./storage/SessionStore.ts"
import type { UsageStore } from "./storage/UsageStore.ts"
import { loggable, quietly } from "./telemetry/redaction.ts"
import { Telemetry } from "./telemetry/Telemetry.ts"
import { ClientBalancer, isRedirect, type Redirect } from "./tenant/ClientBalancer.ts"
import { policyOf } from "./tenant/policy/governed.ts"
import { TenantPolicy } from "./tenant/policy/TenantPolicy.ts"
import type { TenantContext } from "./tenant/TenantContext.ts"
import { randomNumbersFor } from "./values/randomNumbers.ts"

interface Parts {
  readonly dispatcher: Dispatcher
  readonly timekeeper: Timekeeper
  readonly report: (event: Event) => void
  readonly usage: UsageStore["Type"] | undefined
}

export const makeTenantContext = ({ dispatcher, report, timekeeper, usage }: Parts) =>
  Effect.gen(function* () {
    const authenticator = yield* Authenticator
    const authorizer = yield* Authorizer
    const balancer = yield* ClientBalancer
    const policies = yield* TenantPolicy
    const journal = yield* Journal
    const { queue: readQueue } = yield* SessionStore
    const { tracing } = yield* Telemetry
    const forwarder = yield* makeForwarder(dispatcher, timekeeper)
    const context: TenantContext = {
      dispatcher,
      timekeeper,
      report,
      usage,
      random: yield* randomNumbersFor,
      forwarding: (tenant) => forwarder.of(tenant),
      redirect: (identity) => elsewhereOf(balancer, identity),
      policy: (tenant, counters) => policyOf(policies, tenant, { counters, report }),
      services: { journal, readQueue, tracing, ...askedServices(authenticator, authorizer) }
    }
    return context
  })

/** Bans that are in force when a client enters; a broker without a list of them has none. */
export const banLookup: Effect.Effect<ServeContext["banOf"]> = Effect.map(
  Effect.serviceOption(BanList),
  Option.match({
    onNone: () => () => undefined,
    onSome: (bans) => (identity) => bans.ofClient(identity) ?? bans.ofAddress(identity.peer.address)
  })
)

/** How long a balancer may think about a client that has to leave in any case. */
const BALANCER_MS_MAX = 5000

const elsewhereOf = (
  balancer: ClientBalancer["Type"],
  identity: Identity
): Effect.Effect<Redirect | undefined> =>
  Effect.suspend(() => balancer.redirect(identity)).pipe(
    Effect.disconnect,
    Effect.timeoutOption(BALANCER_MS_MAX),
    Effect.map((answer) => Option.getOrUndefined(Option.filter(answer, isRedirect))),
    Effect.catchAllCause((cause) =>
      Effect.logWarning("the balancer does not say where a client should go", loggable(cause)).pipe(
        Effect.annotateLogs({ tenant: identity.tenant, clientId: identity.clientId }),
        Effect.as(undefined)
      )
    ),
    quietly
  )

/** What sessions ask of the services; whatever they throw comes back as an exit and means no. */
const askedServices = (
  authenticator: Authenticator["Type"],
  authorizer: Authorizer["Type"]
): Pick<SessionServices, "settle" | "answers" | "authenticate" | "permissions"> => ({
  settle: settleDecisions,
  answers: answersTo,
  permissions: (identity) => askPermissions(authorizer, identity),
  authenticate: (identity, request) =>
    Effect.suspend(() =>
      request._tag === "Begin"
        ? authenticator.reauthenticate(identity, request.method, secretBytes(request.data))
        : request.challenge.respond(secretBytes(request.data))
    ).pipe(
      Effect.map(soundStep),
      // A client that asks again and again would leave one behind each time.
      Effect.disconnect,
      Effect.timeoutOption(AUTHENTICATION_MS_MAX),
      Effect.map(Option.getOrElse(() => noStep)),
      quietly
    )
})

/** How long the authenticator may take for a step of re-authentication. */
const AUTHENTICATION_MS_MAX = 10_000

const noStep: AuthenticationStep = {
  _tag: "Refused",
  reasonCode: ReasonCode.NotAuthorized,
  reason: "the authenticator gives no answer in time"
}
