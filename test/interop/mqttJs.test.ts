/** MQTT.js against the broker: what every version can do, over every transport. */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { type InteropBroker, startInteropBroker, transports } from "./interopBroker.ts"
import { MqttJsClient, type Place, textOf, type Version, versionNames } from "./MqttJsClient.ts"
import { isSkipped } from "./Program.ts"

// Real sockets and processes on a busy machine: slow is not wrong.
setDefaultTimeout(20_000)

const places = ([3, 4, 5] as const).flatMap((version) =>
  transports.map(
    (transport) => [`MQTT ${versionNames[version]} over ${transport}`, version, transport] as const
  )
)

const qualities = [0, 1, 2] as const

/** A session that outlives its connection, in the words of each version. */
const persistent = (version: Version, clientId: string) => ({
  clientId,
  clean: false,
  ...(version === 5 && { properties: { sessionExpiryInterval: 300 } })
})

describe.skipIf(isSkipped())("MQTT.js (needs the openssl command)", () => {
  let broker: InteropBroker
  beforeAll(async () => {
    broker = await startInteropBroker()
  })
  afterAll(() => broker.stop())

  describe.each(places)("%s", (_name, version, transport) => {
    const place = (): Place => ({ broker, version, transport })
    const prefix = `${transport}${version}`
    const subscriber = async (topicFilter: string, qos: 0 | 1 | 2 = 2) => {
      const client = await MqttJsClient.connect(place())
      await client.mqtt.subscribeAsync(topicFilter, { qos })
      return client
    }

    test.each(qualities)("QoS %i arrives once, as it was sent", async (qos) => {
      const topic = `${prefix}/qos/${qos}`
      const receiver = await subscriber(topic)
      const sender = await MqttJsClient.connect(place())
      await sender.publish(topic, "déjà vu", { qos })
      await sender.publish(topic, "", { qos })
      const messages = await receiver.received(2)
      expect(
        messages.map((message) => [message.topic, textOf(message), message.qos, message.retain])
      ).toEqual([
        [topic, "déjà vu", qos, false],
        [topic, "", qos, false]
      ])
      await Promise.all([receiver.end(), sender.end()])
    })

    test.each(qualities)("1,000 messages of QoS %i arrive in order", async (qos) => {
      const topic = `${prefix}/order/${qos}`
      const receiver = await subscriber(topic)
      const sender = await MqttJsClient.connect(place())
      const expected = Array.from({ length: 1000 }, (_, index) => String(index))
      await Promise.all(expected.map((payload) => sender.publish(topic, payload, { qos })))
      expect((await receiver.received(1000)).map(textOf)).toEqual(expected)
      await Promise.all([receiver.end(), sender.end()])
    })

    test("a payload of almost 1 MB arrives whole", async () => {
      const topic = `${prefix}/large`
      const receiver = await subscriber(topic)
      const sender = await MqttJsClient.connect(place())
      const payload = Buffer.from(
        new Uint8Array(1_048_000).map((_, index) => (index * 31 + (index >> 8)) & 0xff)
      )
      await sender.publish(topic, payload, { qos: 1 })
      const [message] = await receiver.received(1)
      expect(payload.equals(message?.payload as Buffer)).toBe(true)
      await Promise.all([receiver.end(), sender.end()])
    })

    test("a retained message greets whoever subscribes later, until an empty one removes it", async () => {
      const topic = `${prefix}/retained`
      const sender = await MqttJsClient.connect(place())
      await sender.publish(topic, "state", { qos: 1, retain: true })
      const receiver = await subscriber(topic)
      const [message] = await receiver.received(1)
      expect([textOf(message), message?.retain]).toEqual(["state", true])
      await sender.publish(topic, "", { qos: 1, retain: true })
      const later = await subscriber(topic)
      await later.publish(topic, "first seen", { qos: 1 })
      expect((await later.received(1)).map(textOf)).toEqual(["first seen"])
      await Promise.all([receiver.end(), sender.end(), later.end()])
    })

    test("a will is published when the connection breaks, not when the client says goodbye", async () => {
      const topic = `${prefix}/will`
      const watcher = await subscriber(`${topic}/+`)
      const will = (last: string) => ({
        topic: `${topic}/${last}`,
        payload: Buffer.from("gone"),
        qos: 1 as const,
        retain: false
      })
      const polite = await MqttJsClient.connect(place(), { will: will("polite") })
      await polite.end()
      const broken = await MqttJsClient.connect(place(), { will: will("broken") })
      await broken.cut()
      const [message] = await watcher.received(1)
      expect([message?.topic, textOf(message), message?.qos]).toEqual([`${topic}/broken`, "gone", 1])
      await watcher.end()
    })

    test("a session is resumed with what was published meanwhile", async () => {
      const topic = `${prefix}/offline`
      const options = persistent(version, `${prefix}-sleeper`)
      const first = await MqttJsClient.connect(place(), options)
      expect(first.connack.sessionPresent).toBe(false)
      await first.mqtt.subscribeAsync(`${topic}/#`, { qos: 2 })
      await first.end()
      const sender = await MqttJsClient.connect(place())
      const sent = Array.from({ length: 20 }, (_, index) => [`${topic}/${index}`, (index % 2) + 1] as const)
      for (const [name, qos] of sent)
        await sender.publish(name, "while you slept", { qos: qos === 1 ? 1 : 2 })
      const second = await MqttJsClient.connect(place(), options)
      const messages = await second.received(sent.length)
      // MQTT.js shows a QoS 2 message when it is released, so the order is that of each QoS.
      for (const qos of [1, 2]) {
        const names = messages.filter((message) => message.qos === qos).map((message) => message.topic)
        expect(names).toEqual(sent.filter((pair) => pair[1] === qos).map(([name]) => name))
      }
      if (version > 3) expect(second.connack.sessionPresent).toBe(true)
      await second.end()
      const fresh = await MqttJsClient.connect(place(), { clientId: `${prefix}-sleeper`, clean: true })
      expect(fresh.connack.sessionPresent).toBe(false)
      await Promise.all([fresh.end(), sender.end()])
    })

    test("a second connection with the same client identifier takes over", async () => {
      const first = await MqttJsClient.connect(place(), { clientId: `${prefix}-twin` })
      const second = await MqttJsClient.connect(place(), { clientId: `${prefix}-twin` })
      await first.closed
      expect(first.disconnect?.reasonCode).toBe(version === 5 ? 0x8e : undefined)
      expect(second.mqtt.connected).toBe(true)
      await second.end()
    })

    test("after UNSUBSCRIBE nothing comes", async () => {
      const topic = `${prefix}/unsubscribe`
      const receiver = await subscriber(`${topic}/#`)
      await receiver.mqtt.unsubscribeAsync(`${topic}/#`)
      await receiver.mqtt.subscribeAsync(`${topic}/end`, { qos: 1 })
      await receiver.publish(`${topic}/unheard`, "1", { qos: 1 })
      await receiver.publish(`${topic}/end`, "2", { qos: 1 })
      expect((await receiver.received(1)).map(({ topic: name }) => name)).toEqual([`${topic}/end`])
      await receiver.end()
    })

    test("a message that is too large ends the connection", async () => {
      const sender = await MqttJsClient.connect(place())
      sender.mqtt.publish(`${prefix}/too-large`, Buffer.alloc(1_100_000), { qos: 1 })
      await sender.closed
      expect(sender.disconnect?.reasonCode).toBe(version === 5 ? 0x95 : undefined)
      sender.mqtt.end(true)
    })
  })
})
