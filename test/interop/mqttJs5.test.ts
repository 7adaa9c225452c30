/** MQTT.js against the broker: what only MQTT 5.0 has, over every transport. */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { type InteropBroker, startInteropBroker, transports } from "./interopBroker.ts"
import { MqttJsClient, textOf } from "./MqttJsClient.ts"
import { isSkipped } from "./Program.ts"

// Real sockets and processes on a busy machine: slow is not wrong.
setDefaultTimeout(20_000)

describe.skipIf(isSkipped())("MQTT.js, 5.0 only (needs the openssl command)", () => {
  let broker: InteropBroker
  beforeAll(async () => {
    broker = await startInteropBroker()
  })
  afterAll(() => broker.stop())

  describe.each(transports.map((transport) => [transport] as const))("over %s", (transport) => {
    const connect = (options: Parameters<typeof MqttJsClient.connect>[1] = {}) =>
      MqttJsClient.connect({ broker, transport, version: 5 }, options)
    const topicOf = (name: string) => `${transport}/${name}`

    test("request and response: Response Topic and Correlation Data come back as they went", async () => {
      const server = await connect()
      await server.mqtt.subscribeAsync(topicOf("requests"), { qos: 1 })
      server.mqtt.on("message", (_topic, payload, { properties }) => {
        const { correlationData, responseTopic } = properties ?? {}
        void server.publish(responseTopic ?? "", `re: ${payload}`, {
          qos: 1,
          properties: { ...(correlationData && { correlationData }) }
        })
      })
      const client = await connect()
      await client.mqtt.subscribeAsync(topicOf("responses/me"), { qos: 1 })
      const correlationData = Buffer.from([0, 1, 254, 255])
      await client.publish(topicOf("requests"), "question", {
        qos: 1,
        properties: { responseTopic: topicOf("responses/me"), correlationData }
      })
      const [response] = await client.received(1)
      expect(textOf(response)).toBe("re: question")
      expect(response?.properties?.correlationData?.equals(correlationData)).toBe(true)
      await Promise.all([server.end(), client.end()])
    })

    test("user properties, content type and format indicator are handed on in order", async () => {
      const client = await connect()
      await client.mqtt.subscribeAsync(topicOf("properties"), { qos: 1 })
      const properties = {
        userProperties: { first: ["1", "2"], second: "ü" },
        contentType: "text/plain",
        payloadFormatIndicator: true
      }
      await client.publish(topicOf("properties"), "text", { qos: 1, properties })
      const [message] = await client.received(1)
      expect({ ...message?.properties, userProperties: { ...message?.properties?.userProperties } }).toEqual(
        properties
      )
      await client.end()
    })

    test("topic aliases work in both directions", async () => {
      const receiver = await connect({ properties: { topicAliasMaximum: 4 } })
      await receiver.mqtt.subscribeAsync(topicOf("aliases/#"), { qos: 1 })
      const sender = await connect({ autoAssignTopicAlias: true })
      expect(sender.connack.properties?.topicAliasMaximum).toBeGreaterThan(0)
      const topics = Array.from({ length: 40 }, (_, index) => topicOf(`aliases/${index % 8}`))
      for (const topic of topics) await sender.publish(topic, topic, { qos: 1 })
      const messages = await receiver.received(topics.length)
      expect(messages.map(textOf)).toEqual(topics)
      const aliased = messages.filter(({ properties }) => properties?.topicAlias !== undefined)
      expect(aliased.length).toBeGreaterThan(0)
      await Promise.all([sender.end(), receiver.end()])
    })

    test("subscription identifiers say which subscriptions matched", async () => {
      const client = await connect()
      const subscribe = (filter: string, subscriptionIdentifier: number) =>
        client.mqtt.subscribeAsync(filter, { qos: 1, properties: { subscriptionIdentifier } })
      await subscribe(topicOf("identified/#"), 7)
      await subscribe(topicOf("identified/+"), 300_000)
      await client.publish(topicOf("identified/x/y"), "one", { qos: 1 })
      await client.publish(topicOf("identified/x"), "two", { qos: 1 })
      const seen = new Map<string, Array<number>>()
      const count = () => [...seen.values()].flat().length
      for (let arrived = 1; count() < 3; arrived++) {
        const message = (await client.received(arrived))[arrived - 1]
        const identifiers = [message?.properties?.subscriptionIdentifier ?? []].flat()
        seen.set(textOf(message), [...(seen.get(textOf(message)) ?? []), ...identifiers].sort())
      }
      expect(Object.fromEntries(seen)).toEqual({ one: [7], two: [300_000, 7].sort() })
      await client.end()
    })

    test("a shared subscription hands each message to one member", async () => {
      const members = await Promise.all([connect(), connect(), connect()])
      for (const member of members)
        await member.mqtt.subscribeAsync(`$share/group/${topicOf("shared")}`, { qos: 1 })
      const sender = await connect()
      const arrived = new Promise<void>((resolve) => {
        let left = 30
        const count = () => --left === 0 && resolve()
        for (const member of members) member.mqtt.on("message", count)
      })
      for (let index = 0; index < 30; index++)
        await sender.publish(topicOf("shared"), String(index), { qos: 1 })
      await arrived
      const payloads = members.flatMap(({ messages }) => messages.map(textOf)).sort()
      expect(payloads).toEqual(Array.from({ length: 30 }, (_, index) => String(index)).sort())
      for (const member of members) expect(member.messages.length).toBe(10)
      await Promise.all([...members, sender].map((client) => client.end()))
    })

    test("Message Expiry Interval counts down on the way", async () => {
      const client = await connect()
      const properties = { messageExpiryInterval: 100 }
      await client.publish(topicOf("expiry"), "state", { qos: 1, retain: true, properties })
      await client.mqtt.subscribeAsync(topicOf("expiry"), { qos: 1 })
      const [message] = await client.received(1)
      expect(message?.properties?.messageExpiryInterval).toBeGreaterThan(95)
      expect(message?.properties?.messageExpiryInterval).toBeLessThanOrEqual(100)
      await client.publish(topicOf("expiry"), "", { qos: 1, retain: true })
      await client.end()
    })

    test("the session lives as long as its expiry interval says, which DISCONNECT may shorten", async () => {
      const clientId = `${transport}-expiry`
      const kept = { clientId, clean: false, properties: { sessionExpiryInterval: 100 } }
      const first = await connect(kept)
      await first.end()
      const second = await connect(kept)
      expect(second.connack.sessionPresent).toBe(true)
      await second.mqtt.endAsync(false, { reasonCode: 0, properties: { sessionExpiryInterval: 0 } })
      const third = await connect({ clientId, clean: false })
      expect(third.connack.sessionPresent).toBe(false)
      await third.end()
      const fourth = await connect({ clientId, clean: false })
      expect(fourth.connack.sessionPresent).toBe(false)
      await fourth.end()
    })

    test("a will keeps its properties, and DISCONNECT 0x04 sends it", async () => {
      const watcher = await connect()
      await watcher.mqtt.subscribeAsync(topicOf("will"), { qos: 1 })
      const properties = { contentType: "text/plain", userProperties: { why: "asked" } }
      const will = { topic: topicOf("will"), payload: Buffer.from("gone"), qos: 1 as const, properties }
      const client = await connect({ will: { ...will, retain: false } })
      await client.mqtt.endAsync(false, { reasonCode: 4 })
      const [message] = await watcher.received(1)
      expect([textOf(message), message?.properties?.contentType]).toEqual(["gone", "text/plain"])
      expect({ ...message?.properties?.userProperties }).toEqual({ why: "asked" })
      await watcher.end()
    })

    test("No Local, Retain As Published and Retain Handling", async () => {
      const client = await connect()
      const other = await connect()
      const topic = topicOf("options")
      await other.publish(topic, "old", { qos: 1, retain: true })
      await client.mqtt.subscribeAsync(topic, { qos: 1, nl: true, rap: true, rh: 2 })
      await client.publish(topic, "own", { qos: 1 })
      await other.publish(topic, "new", { qos: 1, retain: true })
      const messages = await client.received(1)
      expect(messages.map((message) => [textOf(message), message.retain])).toEqual([["new", true]])
      await other.publish(topic, "", { qos: 1, retain: true })
      await Promise.all([client.end(), other.end()])
    })

    test("a client without identifier is told the one that it got", async () => {
      const client = await connect({ clientId: "" })
      expect(client.connack.properties?.assignedClientIdentifier).toMatch(/./)
      await client.end()
    })
  })

  test("a broker that shuts down says 0x8B to version 5 and closes for the others", async () => {
    const ending = await startInteropBroker()
    const clients = await Promise.all(
      transports.flatMap((transport) =>
        ([3, 4, 5] as const).map((version) => MqttJsClient.connect({ broker: ending, transport, version }))
      )
    )
    await ending.stop()
    await Promise.all(clients.map(({ closed }) => closed))
    expect(clients.map(({ disconnect }) => disconnect?.reasonCode)).toEqual(
      transports.flatMap(() => [undefined, undefined, 0x8b])
    )
  })
})
