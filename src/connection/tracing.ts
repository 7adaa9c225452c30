/**
 * The span of a handshake, from CONNECT to CONNACK. Which tenant a client is of is known when it has been
 * authenticated, so that is when it is decided whether it is traced; what came before is told afterwards.
 */

import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Connack, Connect } from "../protocol/Packet.ts"
import { ReasonCode } from "../protocol/ReasonCode.ts"
import { networkAttributes } from "../telemetry/tracing/networkAttributes.ts"
import type { LiveSpan, Tracing } from "../telemetry/tracing/Tracing.ts"
import type { Connection } from "./Connection.ts"

/** CONNECT has come. */
export const connectCame = (connection: Connection, tracing: Tracing | undefined): void => {
  if (tracing !== undefined && !tracing.sampler.isOff) connection.begunNs = tracing.nowNs()
}

const nothing = new Uint8Array(0)

interface Handshake {
  readonly connect: Connect
  /** "" for a client that could not be authenticated. */
  readonly tenant: string
  readonly nowMs: number
}

/** It is known who it is, or that it cannot be known. */
export const connectJudged = (
  connection: Connection,
  { connect, nowMs, tenant }: Handshake,
  tracing: Tracing
): void => {
  const startNs = connection.begunNs
  if (startNs === undefined) return
  connection.begunNs = undefined
  const { clientId, protocolVersion } = connect
  const candidate = { tenant, clientId, topic: "", forwardedProperties: nothing }
  const span = tracing.begin("connect", candidate, nowMs, { kind: "server", startNs })
  if (span === undefined) return
  const { peer } = connection.wire
  span.set({
    "messaging.system": "mqtt",
    "messaging.operation.name": "connect",
    "messaging.client.id": clientId,
    "heddle.tenant": tenant === "" ? undefined : tenant,
    "mqtt.version": protocolVersion,
    ...networkAttributes(peer),
    "heddle.listener": peer.listener,
    "heddle.is_loopback": peer.isLoopback
  })
  const authentication = span.child("authenticate", { kind: "internal", startNs })
  if (tenant === "") authentication.fail("not authenticated")
  else authentication.end()
  connection.traced = span
}

/** CONNACK has been written. */
export const handshakeAnswered = (
  connection: Connection,
  traced: LiveSpan,
  { properties, reasonCode, sessionPresent }: Connack
): void => {
  connection.traced = undefined
  traced.set({ "mqtt.reason_code": reasonCode, "mqtt.session_present": sessionPresent })
  if (reasonCode === ReasonCode.Success) traced.end()
  else traced.fail(properties.reasonString ?? "", reasonCode)
}

/** It has ended before that. */
export const handshakeLost = (connection: Connection, traced: LiveSpan): void => {
  connection.traced = undefined
  traced.fail("the connection ended before CONNACK")
}

/** The span of what somebody is asked in a handshake ends with the answer, or when nobody waits any more. */
export const whileTraced = <A, E>(
  span: LiveSpan | undefined,
  asked: Effect.Effect<A, E>
): Effect.Effect<A, E> =>
  span === undefined
    ? asked
    : Effect.onExit(asked, (exit) =>
        Effect.sync(() => (Exit.isSuccess(exit) ? span.end() : span.fail("there was no answer")))
      )
