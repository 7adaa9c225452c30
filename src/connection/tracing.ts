/**
 * The span of a handshake, from CONNECT to CONNACK. Which tenant a client is of is known when it has been
 * authenticated, so that is when it is decided whether it is traced; what came before is told afterwards.
 */

import type { Connack, Connect } from "../protocol/Packet.ts"
import { ReasonCode } from "../protocol/ReasonCode.ts"
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
  const { address, isLoopback, listener, transport } = connection.wire.peer
  span.set({
    "messaging.system": "mqtt",
    "messaging.operation.name": "connect",
    "messaging.client.id": clientId,
    "heddle.tenant": tenant === "" ? undefined : tenant,
    "mqtt.version": protocolVersion,
    "network.peer.address": address,
    "network.transport": transport,
    "heddle.listener": listener,
    "heddle.is_loopback": isLoopback
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
  else traced.fail(properties.reasonString ?? "")
}
