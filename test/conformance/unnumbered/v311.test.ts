/** Rules of MQTT 3.1.1 that have no number. */

import { describe, expect, test } from "bun:test"
import { hex, raw, toHex } from "../../support/raw.ts"
import { withBroker } from "../../support/testBroker.ts"

const failing: ReadonlyArray<readonly [name: string, bytes: Uint8Array]> = [
  ["a reserved flag is set", raw.connect({ flags: 0x03 })],
  ["bytes follow its last field", raw.connect({ trailer: hex("00") })],
  ["its client identifier is cut off", raw.packet(0x10, hex("00 04 4d515454 04 02 003c 0005 61"))],
  ["it has no Keep Alive", raw.packet(0x10, hex("00 04 4d515454 04 02"))],
  ["it is empty", hex("10 00")]
]

describe("[3.1.1 3.1.4] a CONNECT that fails its checks closes the connection", () => {
  test.each(failing)("%s", (_name, bytes) =>
    withBroker({}, async (broker) => {
      const client = broker.open(4)
      await client.send(bytes, raw.publish({ topic: "a", retain: true }))
      await client.expectClosed()
      await broker.settle()
      expect(broker.broker.census()).toMatchObject({ connections: 0, sessions: 0, retainedMessages: 0 })
    })
  )
})

describe("[3.1.1 3.2.2.1] bits 7-1 of CONNACK's flags are 0", () => {
  const connects: ReadonlyArray<readonly [name: string, bytes: Uint8Array, connack: string]> = [
    ["a new session", raw.connect({ clientId: "new", clean: false }), "20 02 00 00"],
    ["a session that is resumed", raw.connect({ clientId: "kept", clean: false }), "20 02 01 00"],
    ["a clean session", raw.connect({ clientId: "kept" }), "20 02 00 00"],
    ["a refusal", raw.connect({ clientId: "", clean: false }), "20 02 00 02"],
    ["a refused level", raw.connect({ level: 2 }), "20 02 00 01"]
  ]

  test.each(connects)("%s", (_name, bytes, connack) =>
    withBroker({}, async (broker) => {
      const before = await broker.connect({ clientId: "kept", clean: false })
      before.drop()
      const client = broker.open(4)
      await client.send(bytes)
      expect(toHex((await client.wire.receive()) ?? hex(""))).toBe(toHex(hex(connack)))
    })
  )
})
