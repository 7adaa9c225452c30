/** Topic Aliases in both directions (5.0, sections 3.1.2.11.5, 3.2.2.3.8 and 3.3.2.3.4). */

import { describe, expect, test } from "bun:test"
import { properties, raw } from "../../support/raw.ts"
import { withBroker } from "../../support/testBroker.ts"
import { expectDisconnect, expectMessage, join, resume } from "./client.ts"

const aliased = (topic: string, alias: number, qos = 1): Buffer =>
  raw.publish({ version: 5, topic, payload: `${alias}`, qos, properties: properties.topicAlias(alias) })

describe("from the client", () => {
  test("[MQTT-3.3.2-12] every alias from 1 to the server's maximum is accepted, and can be set anew", () =>
    withBroker({ settings: { topicAliasMaximum: 40 } }, async (broker) => {
      const client = await join(broker, "c")
      expect(client.connack?.properties?.topicAliasMaximum).toBe(40)
      const subscriber = await join(broker, "s")
      await subscriber.subscribe("#")
      for (const round of ["first", "second"]) {
        for (let alias = 1; alias <= 40; alias++) {
          await client.send(aliased(`${round}/${alias}`, alias, 0), aliased("", alias, 0))
          for (let copy = 0; copy < 2; copy++) {
            expect((await expectMessage(subscriber, `${alias}`)).topic).toBe(`${round}/${alias}`)
          }
        }
      }
    }))

  const cases = [
    { name: "[MQTT-3.3.2-8] alias 0", maximum: 16, alias: 0, topic: "t", code: 0x94 },
    {
      name: "[MQTT-3.2.2-17] [MQTT-3.3.2-9] an alias above the maximum",
      maximum: 16,
      alias: 17,
      topic: "t",
      code: 0x94
    },
    { name: "[MQTT-3.2.2-17] the largest alias", maximum: 16, alias: 65_535, topic: "t", code: 0x94 },
    {
      name: "[MQTT-3.2.2-18] an alias where the server takes none",
      maximum: 0,
      alias: 1,
      topic: "t",
      code: 0x94
    },
    {
      name: "[MQTT-3.3.2-7] an alias that was not set on this connection",
      maximum: 16,
      alias: 3,
      topic: "",
      code: 0x82
    }
  ]
  for (const { alias, code, maximum, name, topic } of cases) {
    test(`${name} ends the connection`, () =>
      withBroker({ settings: { topicAliasMaximum: maximum } }, async (broker) => {
        const client = await join(broker, "c")
        expect(client.connack?.properties?.topicAliasMaximum).toBe(maximum === 0 ? undefined : maximum)
        await client.send(aliased(topic, alias))
        await expectDisconnect(client, code)
      }))
  }

  test("[MQTT-3.3.2-7] aliases are of one client: those of another mean nothing", () =>
    withBroker({}, async (broker) => {
      const one = await join(broker, "one")
      await one.send(aliased("t", 1))
      await one.expect("puback")
      const two = await join(broker, "two")
      await two.send(aliased("", 1))
      await expectDisconnect(two, 0x82)
    }))
})

describe("to the client", () => {
  const wishes = [
    { name: "[MQTT-3.1.2-27] none when its maximum is absent", wish: Buffer.alloc(0) },
    { name: "[MQTT-3.1.2-27] none when its maximum is 0", wish: properties.topicAliasMaximum(0) }
  ]
  for (const { name, wish } of wishes) {
    test(name, () =>
      withBroker({}, async (broker) => {
        const subscriber = await join(broker, "s", { properties: wish })
        await subscriber.subscribe("t")
        const publisher = await join(broker, "p")
        for (let count = 0; count < 3; count++) {
          await publisher.publish("t")
          const message = await expectMessage(subscriber, "payload")
          expect([message.topic, message.properties?.topicAlias]).toEqual(["t", undefined])
        }
      })
    )
  }

  test("[MQTT-3.1.2-26] [MQTT-3.3.2-11] [MQTT-3.3.2-8] none above its maximum nor 0, and each means its topic", () =>
    withBroker({}, async (broker) => {
      const subscriber = await join(broker, "s", { properties: properties.topicAliasMaximum(3) })
      await subscriber.subscribe(["#", 1])
      const publisher = await join(broker, "p")
      const known = new Map<number, string>()
      let saved = 0
      const topics = [..."aabacadaeabbccddaaaeeffabcdefgh"]
      for (const topic of topics) {
        await publisher.publish(topic, topic)
        const message = await subscriber.expect("publish")
        await subscriber.send(raw.puback({ packetId: message.messageId ?? 0 }))
        const alias = message.properties?.topicAlias
        if (alias !== undefined) {
          expect(alias).toBeGreaterThanOrEqual(1)
          expect(alias).toBeLessThanOrEqual(3)
          if (message.topic === "") saved++
          else known.set(alias, message.topic)
        }
        expect(message.topic === "" ? known.get(alias ?? 0) : message.topic).toBe(message.payload.toString())
      }
      expect(saved).toBeGreaterThan(5)
    }))

  test("[MQTT-3.3.2-11] what is resent in a resumed session follows the maximum of the new connection", () =>
    withBroker({}, async (broker) => {
      const keeps = properties.sessionExpiryInterval(60)
      const old = await resume(broker, "s", {
        properties: Buffer.concat([keeps, properties.topicAliasMaximum(5)])
      })
      await old.subscribe(["t", 1])
      const publisher = await join(broker, "p")
      await publisher.publish("t", "a")
      expect((await expectMessage(old, "a")).properties?.topicAlias).toBe(1)
      old.drop()
      const back = await resume(broker, "s", { properties: keeps })
      const again = await expectMessage(back, "a")
      expect([again.topic, again.properties?.topicAlias]).toEqual(["t", undefined])
    }))
})
