/** Shared Subscriptions (5.0, section 4.8.2). */

import { describe, expect, test } from "bun:test"
import { raw } from "../../support/raw.ts"
import { type TestBroker, type TestClient, withBroker } from "../../support/testBroker.ts"
import { expectMessage, join, resume, subscribe5, textOf } from "./client.ts"

/** A member with a session that outlives its connection. */
const member = async (broker: TestBroker, clientId: string, qos: number): Promise<TestClient> => {
  const client = await resume(broker, clientId)
  await subscribe5(client, [["$share/g/t", qos]])
  return client
}

const publish2 = async (client: TestClient, payload: string): Promise<void> => {
  await client.send(raw.publish({ version: 5, topic: "t", payload, qos: 2 }))
  await client.expect("pubrec")
  await client.send(raw.pubrel())
  await client.expect("pubcomp")
}

describe("the filter of a Shared Subscription", () => {
  const cases: ReadonlyArray<readonly [name: string, filter: string, granted: boolean]> = [
    ["[MQTT-4.8.2-1] with ShareName and filter", "$share/g/t", true],
    ["[MQTT-4.8.2-1] with a wildcard in the filter", "$share/g/+/a/#", true],
    ["[MQTT-4.8.2-1] whose filter begins with a slash", "$share/g//t", true],
    ["[MQTT-4.8.2-1] without ShareName", "$share//t", false],
    ["[MQTT-4.8.2-1] with nothing behind $share/", "$share/", false],
    ["[MQTT-4.8.2-2] without a filter", "$share/g", false],
    ["[MQTT-4.8.2-2] with an empty filter", "$share/g/", false],
    ["[MQTT-4.8.2-2] with + in the ShareName", "$share/g+/t", false],
    ["[MQTT-4.8.2-2] with # for a ShareName", "$share/#/t", false],
    ["[MQTT-4.8.2-2] with a filter that is none", "$share/g/a/#/b", false]
  ]
  for (const [name, filter, granted] of cases) {
    test(`${name} is ${granted ? "granted" : "refused"}`, () =>
      withBroker({}, async (broker) => {
        const client = await join(broker, "c")
        expect(await subscribe5(client, [[filter, 1]])).toEqual([granted ? 1 : 0x8f])
      }))
  }
})

describe("delivery", () => {
  test("[MQTT-4.8.2-3] respects the QoS granted to the member that is chosen", () =>
    withBroker({ settings: { sharedSubscriptionStrategy: "round-robin" } }, async (broker) => {
      const members = [
        await member(broker, "m0", 0),
        await member(broker, "m1", 1),
        await member(broker, "m2", 2)
      ]
      const publisher = await join(broker, "p")
      for (let count = 0; count < members.length; count++) await publish2(publisher, "x")
      for (const [granted, client] of members.entries()) {
        expect((await expectMessage(client, "x")).qos).toBe(granted as 0 | 1 | 2)
        await client.quiet()
      }
    }))

  test("[MQTT-4.8.2-4] a QoS 2 delivery that was begun is completed to the same client when it comes back", () =>
    withBroker({ settings: { sharedSubscriptionStrategy: "round-robin" } }, async (broker) => {
      const members = [await member(broker, "m0", 2), await member(broker, "m1", 2)]
      const publisher = await join(broker, "p")
      for (const payload of ["a", "b"]) await publish2(publisher, payload)
      const [first, second] = members as [TestClient, TestClient]
      const begun = await expectMessage(first, "a")
      await expectMessage(second, "b")
      first.drop()
      await broker.settle()
      await second.quiet()
      const back = await resume(broker, "m0")
      const packetId = begun.messageId ?? 0
      expect(await expectMessage(back, "a")).toMatchObject({ messageId: packetId, dup: true, qos: 2 })
      await back.send(raw.pubrec({ packetId }))
      await back.expect("pubrel")
      back.drop()
      const again = await resume(broker, "m0")
      expect(await again.expect("pubrel")).toMatchObject({ messageId: packetId })
      await again.send(raw.pubcomp({ packetId }))
      await again.quiet()
      await second.quiet()
    }))

  const endings = [
    { name: "[MQTT-4.8.2-5] its session expires", end: (broker: TestBroker) => broker.advance(3601 * 1000) },
    {
      name: "[MQTT-4.8.2-5] its session is replaced by a new one",
      end: async (broker: TestBroker) => {
        await (await join(broker, "m0")).quiet()
      }
    }
  ]
  for (const { end, name } of endings) {
    test(`${name}: a QoS 2 message that it was sent goes to no other member`, () =>
      withBroker({ settings: { sharedSubscriptionStrategy: "round-robin" } }, async (broker) => {
        const first = await member(broker, "m0", 2)
        const publisher = await join(broker, "p")
        await publish2(publisher, "begun")
        await expectMessage(first, "begun")
        const second = await join(broker, "m1", { keepAlive: 0 })
        await subscribe5(second, [["$share/g/t", 2]])
        first.drop()
        await broker.settle()
        await end(broker)
        await second.quiet()
        const late = await join(broker, "p2")
        await publish2(late, "next")
        await expectMessage(second, "next")
        await second.quiet()
      }))
  }

  const refusals = [
    { name: "[MQTT-4.8.2-6] PUBACK 0x80", qos: 1, reasonCode: 0x80 },
    { name: "[MQTT-4.8.2-6] PUBACK 0x97", qos: 1, reasonCode: 0x97 },
    { name: "[MQTT-4.8.2-6] PUBREC 0x80", qos: 2, reasonCode: 0x80 }
  ]
  for (const { name, qos, reasonCode } of refusals) {
    test(`${name} discards the message: no other member gets it, nor this one again`, () =>
      withBroker({ settings: { sharedSubscriptionStrategy: "round-robin" } }, async (broker) => {
        const first = await member(broker, "m0", qos)
        const second = await member(broker, "m1", qos)
        const publisher = await join(broker, "p")
        await publish2(publisher, "refused")
        const packetId = (await expectMessage(first, "refused")).messageId ?? 0
        await first.send((qos === 1 ? raw.puback : raw.pubrec)({ packetId, reasonCode }))
        await first.quiet()
        first.drop()
        await broker.settle()
        await second.quiet()
        const back = await resume(broker, "m0")
        await back.quiet()
      }))
  }

  test("[MQTT-4.8.2-3] each message goes to one member, and to every group and every plain subscription once", () =>
    withBroker({}, async (broker) => {
      const received = new Map<string, Array<string>>()
      const clients = new Map<string, TestClient>()
      for (const [clientId, filter] of [
        ["g1", "$share/g/t"],
        ["g2", "$share/g/t"],
        ["h1", "$share/h/t"],
        ["h2", "$share/h/+"],
        ["plain", "t"]
      ] as const) {
        const client = await join(broker, clientId)
        await subscribe5(client, [[filter, 0]])
        clients.set(clientId, client)
        received.set(clientId, [])
      }
      const publisher = await join(broker, "p")
      const payloads = Array.from({ length: 30 }, (_, index) => `${index}`)
      for (const payload of payloads) await publisher.publish("t", payload)
      for (const [clientId, client] of clients) {
        await client.send(raw.pingreq())
        for (let packet = await client.next(); packet?.cmd === "publish"; packet = await client.next()) {
          received.get(clientId)?.push(textOf(packet))
        }
      }
      const of = (...ids: ReadonlyArray<string>) =>
        ids.flatMap((id) => received.get(id) ?? []).sort((a, b) => Number(a) - Number(b))
      expect(of("g1", "g2")).toEqual(payloads)
      for (const one of ["h1", "h2", "plain"]) expect(of(one)).toEqual(payloads)
      expect(of("g1").length).toBeGreaterThan(0)
      expect(of("g2").length).toBeGreaterThan(0)
    }))
})
