/**
 * The words that the conformance tests of version 5 share: joining, being refused, being disconnected,
 * reading a message.
 */

import { expect } from "bun:test"
import { properties, type RawConnect, raw, toHex } from "../../support/raw.ts"
import type { ServerPacket, TestBroker, TestClient } from "../../support/testBroker.ts"

type Version5 = Omit<RawConnect, "version" | "clientId">

/** A version 5 client that has connected. */
export const join = (broker: TestBroker, clientId: string, options: Version5 = {}): Promise<TestClient> =>
  broker.connect({ ...options, version: 5, clientId })

/** A Session Expiry Interval of an hour, for `properties`. */
export const keepsSession = properties.sessionExpiryInterval(3600)

/** A client whose session outlives its connection: comes with Clean Start 0. */
export const resume = (broker: TestBroker, clientId: string, options: Version5 = {}): Promise<TestClient> =>
  join(broker, clientId, { clean: false, properties: keepsSession, ...options })

/** Sends the bytes on a new wire: the server answers CONNACK with that Reason Code and closes. */
export const expectRefused = async (
  broker: TestBroker,
  bytes: Uint8Array,
  reasonCode: number
): Promise<Extract<ServerPacket, { cmd: "connack" }>> => {
  const client = broker.open(5)
  await client.send(bytes)
  const connack = await client.expect("connack")
  expect({ reasonCode: connack.reasonCode, sessionPresent: connack.sessionPresent }).toEqual({
    reasonCode,
    sessionPresent: false
  })
  await client.expectClosed()
  return connack
}

/** The server sends DISCONNECT with that Reason Code as its last packet, and closes. */
export const expectDisconnect = async (
  client: TestClient,
  reasonCode: number
): Promise<Extract<ServerPacket, { cmd: "disconnect" }>> => {
  const packet = await client.expect("disconnect")
  expect(packet.reasonCode).toBe(reasonCode)
  await client.expectClosed()
  return packet
}

export type Message = Extract<ServerPacket, { cmd: "publish" }>

export const textOf = (message: Message): string => message.payload.toString()

/** The next packet, a PUBLISH with that payload. */
export const expectMessage = async (client: TestClient, payload: string): Promise<Message> => {
  const message = await client.expect("publish")
  expect(textOf(message)).toBe(payload)
  return message
}

/** The next PUBLISH with that payload, acknowledged at its QoS to the end. */
export const takeMessage = async (client: TestClient, payload: string): Promise<Message> => {
  const message = await expectMessage(client, payload)
  const packetId = message.messageId ?? 0
  if (message.qos === 1) await client.send(raw.puback({ packetId }))
  if (message.qos === 2) {
    await client.send(raw.pubrec({ packetId }))
    await client.expect("pubrel")
    await client.send(raw.pubcomp({ packetId }))
  }
  return message
}

/**
 * The next chunk that arrives, in hexadecimal: for what mqtt-packet does not tell, such as the order of
 * User Properties.
 */
export const nextBytes = async (client: TestClient): Promise<string> =>
  toHex((await client.wire.receive()) ?? new Uint8Array())

/** All that arrives up to the answer to a PINGREQ, in hexadecimal. */
export const bytesUntilPong = async (client: TestClient): Promise<string> => {
  await client.send(raw.pingreq())
  let bytes = ""
  while (!bytes.endsWith("d000")) {
    const chunk = await nextBytes(client)
    if (chunk === "") break
    bytes += chunk
  }
  return bytes
}

/** Subscribes with a Subscription Identifier or other properties and gives the Reason Codes of SUBACK. */
export const subscribe5 = async (
  client: TestClient,
  filters: ReadonlyArray<string | readonly [filter: string | Uint8Array, options: number]>,
  subscribeProperties?: Uint8Array
): Promise<ReadonlyArray<number>> => {
  const more = subscribeProperties === undefined ? {} : { properties: subscribeProperties }
  await client.send(raw.subscribe({ version: 5, packetId: 900, filters, ...more }))
  const suback = await client.expect("suback")
  expect(suback.messageId).toBe(900)
  return suback.granted.map(Number)
}

/** Bits of the Subscription Options beside the QoS. */
export const NO_LOCAL = 0x04
export const RETAIN_AS_PUBLISHED = 0x08
export const RETAIN_IF_NEW = 0x10
export const RETAIN_NEVER = 0x20
