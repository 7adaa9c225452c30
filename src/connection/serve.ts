/**
 * The life of a connection as one fiber: CONNECT, authentication, permission, redirection, the session, the
 * end.
 *
 * Everything that may refuse the client comes before its session is touched, so a stranger who fails to
 * authenticate does not disturb whom it pretends to be. The whole handshake has one absolute deadline, set
 * when the wire was accepted.
 */

import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import {
  type Accepted,
  type AuthenticationStep,
  type Authenticator,
  type Challenge,
  type Identity,
  type Refused,
  secretBytes,
  soundStep
} from "../auth/Authenticator.ts"
import {
  type AuthorizationUnavailable,
  type Authorizer,
  askPermissions,
  type Decision,
  type Permissions
} from "../auth/Authorizer.ts"
import type { Event } from "../events/Event.ts"
import type { MalformedPacket } from "../protocol/MalformedPacket.ts"
import type { Connect, Properties, ProtocolVersion } from "../protocol/Packet.ts"
import { ReasonCode } from "../protocol/ReasonCode.ts"
import { type PublishRefusal, refusalOfTopic } from "../session/refusals.ts"
import type { Attach } from "../session/SessionMessage.ts"
import type { Followers } from "../telemetry/follow/Followers.ts"
import type { Tracing } from "../telemetry/tracing/Tracing.ts"
import { type ClientBalancer, isRedirect } from "../tenant/ClientBalancer.ts"
import type { Tenant } from "../tenant/Tenant.ts"
import type { TenantUnavailable } from "../tenant/TenantDirectory.ts"
import type { AttachRefused } from "../tenant/TenantMessage.ts"
import type { TenantSettings } from "../tenant/TenantSettings.ts"
import type { Tenants } from "../tenant/Tenants.ts"
import type { Connection, ConnectionGone } from "./Connection.ts"
import { followIdentified } from "./following.ts"
import { admission, willAsPublished } from "./policyChecks.ts"
import { logFailed, Refusal, refusal, refuse, tellRefused } from "./Refusal.ts"
import { connectCame, connectJudged, whileTraced } from "./tracing.ts"

export interface ServeContext {
  /** The ban on a client, its user or its address, if there is one. */
  readonly banOf: (identity: Identity) => { readonly reason: string } | undefined
  readonly authenticator: Authenticator["Type"]
  readonly authorizer: Authorizer["Type"]
  readonly balancer: ClientBalancer["Type"]
  readonly tenants: Tenants
  readonly settle: (decisions: ReadonlyArray<Decision>) => Effect.Effect<ReadonlyArray<boolean>>
  readonly report: (event: Event) => void
  /** Largest packet accepted after CONNECT. */
  readonly packetBytesMax: () => number
  /** Undefined while nothing is traced. */
  readonly tracing: Tracing | undefined
  readonly followers: Followers
  readonly nowMs: () => number
  /** A client identifier for a client that sent none. */
  readonly newClientId: () => string
}

/**
 * Serves a connection from its CONNECT to its end. Interrupt it when the wire closes in the middle of the
 * handshake, so that a client that goes away leaves no authenticator working for it.
 *
 * A fiber costs by its start and by each of its steps, most of all when a fleet comes to a new broker and
 * runs them before the compiler has got hold of them. Hence one start, when CONNECT is there, one recovery
 * for whatever goes wrong, and no step for an answer that is there already (`andThen`). With a fiber from
 * accept, woken by CONNECT, a generator and a recovery a kind of refusal, the first 15,000 clients cost
 * 154 µs of processor time each and now 106 (medians of six runs side by side, Bun 1.4.5, effect 3.22.4,
 * 2026-11).
 *
 * The handshake is suspended, so that what it was made of is garbage when it is over: kept alive by the
 * waiting fiber it was half the memory of an idle client (5 KB of 9.6, Bun 1.4.5, 2026-11).
 */
export const serve = (connection: Connection, connect: Connect, context: ServeContext): Effect.Effect<void> =>
  Effect.zipRight(
    Effect.catchAllCause(
      Effect.suspend(() => shakeHands(connection, connect, context)),
      (cause) => {
        tellJudged(connection, connect, "", context)
        return recover({ connection, connect }, cause, context)
      }
    ),
    Effect.suspend(() => connection.untilGone())
  )

type Failure = Refusal | ConnectionGone | MalformedPacket | TenantUnavailable | AuthorizationUnavailable

type Step<A> = Effect.Effect<A, Failure>

/** `flatMap` that is a plain call when the answer is there, as it is from most services. */
const andThen = <A, B>(step: Step<A>, next: (value: A) => Step<B>): Step<B> =>
  Exit.isExit(step) && Exit.isSuccess(step) ? next(step.value as A) : Effect.flatMap(step, next)

const shakeHands = (connection: Connection, connect: Connect, context: ServeContext): Step<void> => {
  connection.introduced(connect)
  connectCame(connection, context.tracing)
  const clientId = clientIdOf(connect, context)
  if (clientId instanceof Refusal) return Effect.fail(clientId)
  return andThen(authenticate(connection, connect, context), (accepted) => {
    connection.tenant = accepted.tenant
    tellJudged(connection, connect, accepted.tenant, context)
    const identity: Identity = {
      tenant: accepted.tenant,
      principal: accepted.principal,
      clientId,
      username: connect.username,
      peer: connection.wire.peer,
      rules: accepted.rules,
      method: accepted.method
    }
    followIdentified(connection, identity, context)
    return andThen(context.tenants.get(identity.tenant), (tenant) =>
      judge({ connection, connect, accepted, identity, tenant }, context)
    )
  })
}

const tellJudged = (
  connection: Connection,
  connect: Connect,
  tenant: string,
  context: ServeContext
): void => {
  const { nowMs, tracing } = context
  if (tracing !== undefined) connectJudged(connection, { connect, tenant, nowMs: nowMs() }, tracing)
}

/** Somebody whose name and tenant are known. */
interface Newcomer {
  readonly connection: Connection
  readonly connect: Connect
  readonly accepted: Accepted
  readonly identity: Identity
  readonly tenant: Tenant
}

/** What the tenant has to say before the newcomer gets its session. */
const judge = (newcomer: Newcomer, context: ServeContext): Step<void> => {
  const { connect, identity, tenant } = newcomer
  const { protocolVersion } = connect
  const { refusal: closed } = tenant
  if (closed !== undefined) return turnAway(newcomer, closed, context)
  if (!serves(tenant.settings, protocolVersion)) {
    return refusal(ReasonCode.UnsupportedProtocolVersion, "this protocol version is turned off")
  }
  return andThen(admission(tenant.policy, identity, connect), () => {
    const { permissionsRevision } = tenant
    const authorizing = newcomer.connection.traced?.child("authorize", { kind: "internal" })
    const asked = whileTraced(authorizing, askPermissions(context.authorizer, identity))
    return andThen(asked, (permissions) =>
      andThen(checkWill(newcomer, permissions, context), () =>
        andThen(protocolVersion === 5 ? redirect(identity, context) : Effect.void, () => {
          enter(newcomer, { permissions, permissionsRevision }, context)
          return Effect.void
        })
      )
    )
  })
}

/** The tenant lets nobody in. One that is drained says where else to go, if anybody knows. */
const turnAway = (
  newcomer: Newcomer,
  { reason, reasonCode }: AttachRefused,
  context: ServeContext
): Step<void> => {
  const { connect, identity, tenant } = newcomer
  const asksElsewhere = tenant.state === "draining" && connect.protocolVersion === 5
  return andThen(asksElsewhere ? redirect(identity, context) : Effect.void, () => refusal(reasonCode, reason))
}

/** Permissions, and the revision of all permissions that they were asked for at. */
type Permitted = Pick<Attach, "permissions" | "permissionsRevision">

const enter = (newcomer: Newcomer, permitted: Permitted, context: ServeContext): void => {
  const { accepted, connect, connection, identity, tenant } = newcomer
  // It may have been banned since it said who it is.
  const ban = context.banOf(identity)
  if (ban !== undefined) return refuse(connection, new Refusal(ReasonCode.Banned, ban.reason), context.report)
  const packetBytesMax = Math.min(context.packetBytesMax(), tenant.settings.packetBytesMax)
  connection.allow(packetBytesMax)
  followIdentified(connection, identity, context)
  tenant.admit({
    _tag: "Admit",
    attach: {
      _tag: "Attach",
      link: connection,
      connect,
      accepted,
      identity,
      ...permitted,
      isAssignedId: connect.clientId === "",
      packetBytesMax
    },
    refuse: ({ reason, reasonCode }) => refuse(connection, new Refusal(reasonCode, reason), context.report)
  })
}

/** The handshake has failed: the client is told why, as far as it may know. */
const recover = (
  { connect, connection }: Pick<Newcomer, "connection" | "connect">,
  cause: Cause.Cause<Failure>,
  context: ServeContext
): Effect.Effect<void> => {
  const failure = Option.getOrUndefined(Cause.failureOption(cause))
  switch (failure?._tag) {
    case "ConnectionGone":
      return Effect.void
    case "MalformedPacket":
      return Effect.sync(() => refuseMalformed(connection, failure, context))
    case "Refusal":
      return Effect.sync(() => refuse(connection, failure, context.report))
    case "TenantUnavailable": {
      const { reason, reasonCode, tenant } = failure
      const why = unavailable(`tenant ${tenant}: ${reason}`, "tenant-unavailable", reasonCode)
      return Effect.sync(() => refuse(connection, why, context.report))
    }
    case "AuthorizationUnavailable": {
      const why = unavailable(failure.reason, "authorization-error")
      return Effect.sync(() => refuse(connection, why, context.report))
    }
  }
  if (Cause.isInterruptedOnly(cause)) return Effect.failCause(cause as Cause.Cause<never>)
  return Effect.zipRight(
    logFailed(connection, connect, cause),
    Effect.sync(() => refuse(connection, serverFailed, context.report))
  )
}

const serverFailed = new Refusal(ReasonCode.UnspecifiedError, "the server failed")

/** Of what is behind it the client hears nothing: it could be anything, an address or a path included. */
const unavailable = (
  reason: string,
  cause: "tenant-unavailable" | "authorization-error",
  reasonCode: ReasonCode = ReasonCode.ServerUnavailable
): Refusal => new Refusal(reasonCode, reason, { cause }, told[cause])

const told = {
  "tenant-unavailable": "the tenant is not served",
  "authorization-error": "nobody can say now what the client may do"
} as const

/** The identifier that the client sent, or the one that it is assigned. */
const clientIdOf = (connect: Connect, context: ServeContext): string | Refusal => {
  const { cleanStart, clientId, protocolVersion } = connect
  const invalid = (reason: string) => new Refusal(ReasonCode.ClientIdentifierNotValid, reason)
  if (protocolVersion === 3 && (clientId === "" || Buffer.byteLength(clientId) > 23)) {
    return invalid("a client identifier of MQTT 3.1 has 1 to 23 bytes")
  }
  if (clientId !== "") return clientId
  // [v3 MQTT-3.1.3-8]
  if (protocolVersion === 4 && !cleanStart)
    return invalid("a client without identifier must ask for a clean session")
  // [MQTT-3.1.3-6] [v3 MQTT-3.1.3-6]
  return context.newClientId()
}

const authenticate = (connection: Connection, connect: Connect, context: ServeContext): Step<Accepted> => {
  const { authenticationData, authenticationMethod, userProperties = [] } = connect.properties
  const judged = context.authenticator.authenticate({
    peer: connection.wire.peer,
    protocolVersion: connect.protocolVersion,
    clientId: connect.clientId,
    username: connect.username,
    password: secretBytes(connect.password),
    authenticationMethod,
    authenticationData: secretBytes(authenticationData),
    userProperties
  })
  return andThen(judged, (step) => conclude(step, authenticationMethod, connection))
}

/** Follows the authenticator's steps to the last one. */
const conclude = (
  step: AuthenticationStep,
  method: string | undefined,
  connection: Connection
): Step<Accepted> => {
  const sound = soundStep(step)
  if (sound._tag === "Accepted") return Effect.succeed(sound)
  if (sound._tag === "Refused") {
    return refusal(sound.reasonCode, sound.reason, hasFailed(sound) ? { cause: "authentication-error" } : {})
  }
  // [MQTT-4.12.0-6]
  if (method === undefined)
    return refusal(ReasonCode.NotAuthorized, "the server wants enhanced authentication")
  return Effect.flatMap(answerTo(sound, method, connection), (next) => conclude(next, method, connection))
}

/** It could not tell who the client is. */
const hasFailed = ({ reasonCode }: Refused): boolean =>
  reasonCode === ReasonCode.ServerUnavailable || reasonCode === ReasonCode.UnspecifiedError

/** Sends a challenge and takes the client's answer to the authenticator. */
const answerTo = Effect.fnUntraced(function* (challenge: Challenge, method: string, connection: Connection) {
  const { authenticationData } = challenge
  const properties: Properties = {
    authenticationMethod: method,
    ...(authenticationData && { authenticationData })
  }
  // [MQTT-4.12.0-2] [MQTT-4.12.0-5]
  connection.send({ _tag: "Auth", reasonCode: ReasonCode.ContinueAuthentication, properties })
  const packet = yield* connection.takePacket()
  if (packet._tag === "Disconnect") {
    connection.drop()
    return yield* Effect.fail(aborted)
  }
  // [MQTT-3.1.2-30] [MQTT-4.12.0-3] [MQTT-4.12.0-5]
  if (
    packet._tag !== "Auth" ||
    packet.reasonCode !== ReasonCode.ContinueAuthentication ||
    packet.properties.authenticationMethod !== method
  ) {
    return yield* refusal(
      ReasonCode.ProtocolError,
      "only AUTH with the method of CONNECT may follow [MQTT-3.1.2-30]"
    )
  }
  return yield* challenge.respond(secretBytes(packet.properties.authenticationData))
})

const serves = (settings: TenantSettings, version: ProtocolVersion): boolean =>
  version === 3 ? settings.mqtt31 : version === 4 ? settings.mqtt311 : settings.mqtt5

/** A will that could not be published is refused now rather than found wanting later. */
const checkWill = (
  { connect, identity, tenant }: Newcomer,
  permissions: Permissions,
  context: ServeContext
): Step<void> => {
  const { will } = connect
  const { settings } = tenant
  if (will === undefined) return Effect.void
  // [MQTT-3.2.2-12]
  if (will.qos > settings.maximumQos)
    return refusal(ReasonCode.QosNotSupported, `QoS ${will.qos} is not supported`)
  // [MQTT-3.2.2-13]
  if (will.retain && !settings.retainAvailable) {
    return refusal(ReasonCode.RetainNotSupported, "retained messages are not supported")
  }
  if (will.payload.length > settings.willBytesMax) {
    return refusal(ReasonCode.PacketTooLarge, `a will may have ${settings.willBytesMax} bytes of payload`)
  }
  const invalid: PublishRefusal | undefined = refusalOfTopic(will.topic, settings)
  if (invalid !== undefined) return refusal(invalid.reasonCode, `will: ${invalid.reason}`)
  return andThen(willAsPublished(will, identity, tenant), ({ qos, retain, topic }) =>
    andThen(context.settle([permissions.publish(topic, qos, retain)]), ([allowed]) =>
      allowed === true ? Effect.void : refusal(ReasonCode.NotAuthorized, unpublishableWill)
    )
  )
}

const unpublishableWill = "the client may not publish its will"

const redirect = (identity: Identity, context: ServeContext): Step<void> =>
  andThen(context.balancer.redirect(identity), (elsewhere) => {
    if (elsewhere === undefined) return Effect.void
    if (!isRedirect(elsewhere)) {
      return Effect.zipRight(
        Effect.logError("the balancer answers nonsense"),
        refusal(ReasonCode.UnspecifiedError, "the server failed")
      )
    }
    const reasonCode = elsewhere.permanent ? ReasonCode.ServerMoved : ReasonCode.UseAnotherServer
    return refusal(reasonCode, "the client is served elsewhere", {
      serverReference: elsewhere.serverReference
    })
  })

/** Tells of a handshake that was not over in time. */
export const reportTimeout = (connection: Connection, context: ServeContext): void =>
  tellRefused(connection, tookTooLong, context.report)

const tookTooLong = new Refusal(ReasonCode.NotAuthorized, "the handshake took too long", {
  cause: "handshake-timeout"
})

/** Tells of a client that went away before it was answered. */
export const reportAborted = (connection: Connection, context: ServeContext): void =>
  tellRefused(connection, aborted, context.report)

const aborted = new Refusal(ReasonCode.NotAuthorized, "the client went away during the handshake", {
  cause: "authentication-aborted"
})

/**
 * What was no CONNECT gets no answer; a version 5 client is told what was wrong with its CONNECT; an earlier
 * one is told only that its protocol level is not served. [MQTT-3.1.4-1] [v3 MQTT-3.1.2-2] [v3 MQTT-3.1.4-1]
 */
export const refuseMalformed = (
  connection: Connection,
  error: MalformedPacket,
  context: ServeContext
): void => {
  const why = new Refusal(error.reasonCode, error.message, { clause: error.clause })
  const level = connection.attemptedLevel
  // [MQTT-3.1.2-2]: later versions understand the form of 5.0; with its high bit set it is a bridge of 3.1 or
  // 3.1.1
  if (level >= 5 && level < 0x80) {
    connection.protocolVersion = 5
    return refuse(connection, why, context.report)
  }
  if (level !== 0 && error.reasonCode === ReasonCode.UnsupportedProtocolVersion)
    return refuse(connection, why, context.report)
  connection.drop()
  tellRefused(connection, why, context.report)
}
