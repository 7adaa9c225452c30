import { expect, test } from "bun:test"
import { properties, raw } from "../support/raw.ts"
import { withBroker } from "../support/testBroker.ts"

test("[MQTT-4.3.3-8] PUBREC to a session on record waits for the router, and tells what it said", () =>
  withBroker({}, async (broker) => {
    const publisher = await broker.connect({
      version: 5,
      clientId: "p",
      properties: properties.sessionExpiryInterval(60)
    })
    await publisher.send(raw.publish({ version: 5, topic: "nobody/listens", qos: 2, packetId: 7 }))
    const pubrec = await publisher.expect("pubrec")
    expect([pubrec.messageId, pubrec.reasonCode]).toEqual([7, 0x10])
    await publisher.quiet()
  }))
