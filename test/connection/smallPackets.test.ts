import { expect, test } from "bun:test"
import { properties, raw } from "../support/raw.ts"
import { withBroker } from "../support/testBroker.ts"

test("[MQTT-3.1.2-24] a client whose Maximum Packet Size has no room for CONNACK is closed, not left waiting", () =>
  withBroker({}, async (broker) => {
    const client = broker.open(5)
    await client.send(raw.connect({ version: 5, properties: properties.maximumPacketSize(6) }))
    for (const packet of await client.untilClosed()) {
      expect(packet.cmd === "connack" ? packet.reasonCode : packet.cmd).toBe(0x95)
    }
    await broker.settle()
    expect(broker.broker.census()).toMatchObject({ connections: 0, sessions: 0, deadlines: 0 })
  }))

test("[MQTT-3.1.2-24] one that has no room for its SUBACK is closed as well", () =>
  withBroker({}, async (broker) => {
    const client = await broker.connect({ version: 5, properties: properties.maximumPacketSize(30) })
    const filters = Array.from({ length: 100 }, (_, index) => `t/${index}`)
    await client.send(raw.subscribe({ version: 5, filters }))
    const last = await client.untilClosed()
    expect(last.map((packet) => (packet.cmd === "disconnect" ? packet.reasonCode : packet.cmd))).toEqual([
      0x95
    ])
  }))
