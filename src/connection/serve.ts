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
import {
  type Accepted,
  type Authenticator,
  type Challenge,
  type Identity,
  soundStep
} from "../auth/Authenticator.ts"
import { type Authorizer, type Decision, failClosed, type Permissions } from "../auth/Authorizer.ts"
import type { Event } from "../events/Event.ts"
import type { MalformedPacket } from "../protocol/MalformedPacket.ts"
import type { Connect, Properties, ProtocolVersion } from "../protocol/Packet.ts"
import { ReasonCode } from "../protocol/ReasonCode.ts"
import { type PublishRefusal, refusalOfTopic } from "../session/inbound.ts"
import type { ClientBalancer } from "../tenant/ClientBalancer.ts"
import type { Tenant } from "../tenant/Tenant.ts"
import type { TenantSettings } from "../tenant/TenantSettings.ts"
import type { Tenants } from "../tenant/Tenants.ts"
import type { Connection, ConnectionGone } from "./Connection.ts"

export interface ServeContext {
  readonly authenticator: Authenticator["Type"]
  readonly authorizer: Authorizer["Type"]
  readonly balancer: ClientBalancer["Type"]
  readonly tenants: Tenants
  readonly settle: (decisions: ReadonlyArray<Decision>) => Effect.Effect<ReadonlyArray<boolean>>
  readonly report: (event: Event) => void
  /** Largest packet accepted after CONNECT. */
  readonly packetBytesMax: number
  /** A client identifier for a client that sent none. */
  readonly newClientId: () => string
}

/** Why a CONNECT is refused. */
class Refusal {
  readonly _tag = "Refusal"
  constructor(
    readonly reasonCode: ReasonCode,
    readonly reason: string,
    readonly serverReference?: string
  ) {}
}

/**
 * Serves a connection from its first byte to its last. Interrupt it when the wire closes in the middle of the
 * handshake, so that a client that goes away leaves no authenticator working for it.
 *
 * The handshake is suspended, so that what it was made of is garbage when it is over: kept alive by the
 * waiting fiber it was half the memory of an idle client (5 KB of 9.6, Bun 1.4.5, 2026-11).
 */
export const serve = (connection: Connection, context: ServeContext): Effect.Effect<void> =>
  Effect.zipRight(
    Effect.suspend(() => handshake(connection, context)),
    Effect.suspend(() => connection.untilGone())
  )

const handshake = (connection: Connection, context: ServeContext): Effect.Effect<void> =>
  shakeHands(connection, context).pipe(
    Effect.catchTag("ConnectionGone", () => Effect.void),
    Effect.catchTag("MalformedPacket", (error) =>
      Effect.sync(() => refuseMalformed(connection, error, context))
    ),
    Effect.catchTag("Refusal", (refusal) => Effect.sync(() => refuse(connection, refusal, context))),
    Effect.catchAllCause((cause) =>
      Cause.isInterruptedOnly(cause)
        ? Effect.failCause(cause)
        : Effect.zipRight(
            Effect.logError("a handshake failed", cause),
            Effect.sync(() =>
              refuse(connection, new Refusal(ReasonCode.UnspecifiedError, "the server failed"), context)
            )
          )
    )
  )

const shakeHands = Effect.fnUntraced(function* (connection: Connection, context: ServeContext) {
  const first = yield* connection.takePacket()
  // [MQTT-3.1.0-1]: the decoder lets nothing else through
  if (first._tag !== "Connect") return connection.drop()
  const connect = first
  connection.introduced(connect, context.packetBytesMax)
  const clientId = yield* clientIdOf(connect, context)
  const accepted = yield* authenticate(connection, connect, context)
  const identity: Identity = {
    tenant: accepted.tenant,
    principal: accepted.principal,
    clientId,
    username: connect.username,
    peer: connection.wire.peer
  }
  const tenant = yield* Effect.catchTag(context.tenants.get(accepted.tenant), "TenantUnavailable", (error) =>
    Effect.fail(new Refusal(ReasonCode.ServerUnavailable, `tenant ${error.tenant}: ${error.reason}`))
  )
  yield* checkVersion(connect.protocolVersion, tenant.settings)
  const granted = yield* Effect.catchTag(
    context.authorizer.permissions(identity),
    "AuthorizationUnavailable",
    (error) => Effect.fail(new Refusal(ReasonCode.ServerUnavailable, error.reason))
  )
  const permissions = failClosed(granted)
  yield* checkWill(connect, { permissions, settings: tenant.settings }, context)
  if (connect.protocolVersion === 5) yield* redirect(identity, context)
  enter(connection, { connect, accepted, identity, permissions, tenant }, context)
})

interface Newcomer {
  readonly connect: Connect
  readonly accepted: Accepted
  readonly identity: Identity
  readonly permissions: Permissions
  readonly tenant: Tenant
}

const enter = (connection: Connection, newcomer: Newcomer, context: ServeContext): void => {
  const { tenant, ...rest } = newcomer
  tenant.admit({
    attach: {
      _tag: "Attach",
      link: connection,
      isAssignedId: newcomer.connect.clientId === "",
      packetBytesMax: context.packetBytesMax,
      ...rest
    },
    refuse: ({ reason, reasonCode }) => refuse(connection, new Refusal(reasonCode, reason), context)
  })
}

/** The identifier that the client sent, or the one that it is assigned. */
const clientIdOf = (connect: Connect, context: ServeContext): Effect.Effect<string, Refusal> => {
  const { cleanStart, clientId, protocolVersion } = connect
  const invalid = (reason: string) => Effect.fail(new Refusal(ReasonCode.ClientIdentifierNotValid, reason))
  if (protocolVersion === 3 && (clientId === "" || Buffer.byteLength(clientId) > 23)) {
    return invalid("a client identifier of MQTT 3.1 has 1 to 23 bytes")
  }
  if (clientId !== "") return Effect.succeed(clientId)
  // [v3 MQTT-3.1.3-8]
  if (protocolVersion === 4 && !cleanStart)
    return invalid("a client without identifier must ask for a clean session")
  // [MQTT-3.1.3-6] [v3 MQTT-3.1.3-6]
  return Effect.sync(context.newClientId)
}

const authenticate = Effect.fnUntraced(function* (
  connection: Connection,
  connect: Connect,
  context: ServeContext
) {
  const method = connect.properties.authenticationMethod
  const first = yield* context.authenticator.authenticate({
    peer: connection.wire.peer,
    protocolVersion: connect.protocolVersion,
    clientId: connect.clientId,
    username: connect.username,
    password: connect.password,
    authenticationMethod: method,
    authenticationData: connect.properties.authenticationData,
    userProperties: connect.properties.userProperties ?? []
  })
  let step = soundStep(first)
  while (step._tag === "Challenge") {
    // [MQTT-4.12.0-6]
    if (method === undefined)
      return yield* refusal(ReasonCode.NotAuthorized, "the server wants enhanced authentication")
    step = soundStep(yield* answerTo(step, method, connection))
  }
  if (step._tag === "Refused") return yield* refusal(step.reasonCode, step.reason)
  return step
})

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
    return yield* Effect.fail<ConnectionGone>({ _tag: "ConnectionGone" })
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
  return yield* challenge.respond(packet.properties.authenticationData)
})

const refusal = (
  reasonCode: ReasonCode,
  reason: string,
  serverReference?: string
): Effect.Effect<never, Refusal> => Effect.fail(new Refusal(reasonCode, reason, serverReference))

const checkVersion = (version: ProtocolVersion, settings: TenantSettings): Effect.Effect<void, Refusal> => {
  const served = version === 3 ? settings.mqtt31 : version === 4 ? settings.mqtt311 : settings.mqtt5
  return served
    ? Effect.void
    : refusal(ReasonCode.UnsupportedProtocolVersion, "this protocol version is turned off")
}

/** A will that could not be published is refused now rather than found wanting later. */
const checkWill = (
  connect: Connect,
  granted: { readonly permissions: Permissions; readonly settings: TenantSettings },
  context: ServeContext
): Effect.Effect<void, Refusal> => {
  const { will } = connect
  const { permissions, settings } = granted
  if (will === undefined) return Effect.void
  // [MQTT-3.2.2-12]
  if (will.qos > settings.maximumQos)
    return refusal(ReasonCode.QosNotSupported, `QoS ${will.qos} is not supported`)
  // [MQTT-3.2.2-13]
  if (will.retain && !settings.retainAvailable) {
    return refusal(ReasonCode.RetainNotSupported, "retained messages are not supported")
  }
  const invalid: PublishRefusal | undefined = refusalOfTopic(will.topic, settings)
  if (invalid !== undefined) return refusal(invalid.reasonCode, `will: ${invalid.reason}`)
  return Effect.flatMap(context.settle([permissions.publish(will.topic)]), ([allowed]) =>
    allowed === true ? Effect.void : refusal(ReasonCode.NotAuthorized, "the client may not publish its will")
  )
}

const redirect = (identity: Identity, context: ServeContext): Effect.Effect<void, Refusal> =>
  Effect.flatMap(context.balancer.redirect(identity), (elsewhere) => {
    if (elsewhere === undefined) return Effect.void
    const reasonCode = elsewhere.permanent ? ReasonCode.ServerMoved : ReasonCode.UseAnotherServer
    return refusal(reasonCode, "the client is served elsewhere", elsewhere.serverReference)
  })

const refuse = (connection: Connection, why: Refusal, context: ServeContext): void => {
  const { reason, reasonCode, serverReference } = why
  connection.refuse(reasonCode, {
    reasonString: reason,
    ...(serverReference !== undefined && { serverReference })
  })
  report(connection, why, context)
}

/** Tells of a handshake that was not over in time. */
export const reportTimeout = (connection: Connection, context: ServeContext): void =>
  report(connection, new Refusal(ReasonCode.NotAuthorized, "the handshake took too long"), context)

const report = (connection: Connection, why: Refusal, context: ServeContext): void => {
  const { address, listener, transport } = connection.wire.peer
  context.report({
    _tag: "ConnectRefused",
    listener,
    transport,
    address,
    clientId: connection.clientId ?? "",
    reasonCode: why.reasonCode,
    reason: why.reason
  })
}

/**
 * What was no CONNECT gets no answer; a version 5 client is told what was wrong with its CONNECT; an earlier
 * one is told only that its protocol level is not served. [MQTT-3.1.4-1] [v3 MQTT-3.1.2-2] [v3 MQTT-3.1.4-1]
 */
const refuseMalformed = (connection: Connection, error: MalformedPacket, context: ServeContext): void => {
  const why = new Refusal(error.reasonCode, error.message)
  const level = connection.attemptedLevel
  // [MQTT-3.1.2-2]: later versions understand the form of 5.0; with its high bit set it is a bridge of 3.1 or
  // 3.1.1
  if (level >= 5 && level < 0x80) {
    connection.protocolVersion = 5
    return refuse(connection, why, context)
  }
  if (level !== 0 && error.reasonCode === ReasonCode.UnsupportedProtocolVersion)
    return refuse(connection, why, context)
  connection.drop()
  report(connection, why, context)
}
