/** Every span that is begun is ended, once, however what it is of comes to its end. */

import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Authenticator } from "../../src/auth/Authenticator.ts"
import { Authorizer, allowAll, type Permissions } from "../../src/auth/Authorizer.ts"
import { layerMemory } from "../../src/storage/memory.ts"
import { Telemetry } from "../../src/telemetry/Telemetry.ts"
import { type Policy, TenantPolicy } from "../../src/tenant/policy/TenantPolicy.ts"
import { properties, type RawConnect, raw } from "../support/raw.ts"
import { type RecordedSpan, recordedSpans } from "../support/recordedSpans.ts"
import { type TestBroker, type TestBrokerOptions, withBroker } from "../support/testBroker.ts"

interface Case {
  readonly name: string
  readonly options?: TestBrokerOptions
  readonly body: (broker: TestBroker) => Promise<void>
  /** Those that must be there, with how they end. */
  readonly spans: ReadonlyArray<readonly [name: string, isFailure: boolean]>
}

const permitting = (own: Partial<Permissions>): TestBrokerOptions => ({
  authorizer: Layer.succeed(Authorizer, { permissions: () => Effect.succeed({ ...allowAll, ...own }) })
})

const following = (policy: Policy): TestBrokerOptions => ({ policy: TenantPolicy.layer(policy) })

const persistent: RawConnect = {
  clientId: "sleeper",
  version: 5,
  clean: false,
  properties: properties.sessionExpiryInterval(3600)
}

const publishing = (topic: string, retain = false) =>
  raw.publish({ version: 5, topic, payload: "x", qos: 1, packetId: 7, retain })

/** Sends one PUBLISH and goes before there can be an answer. */
const hitAndRun = async (broker: TestBroker): Promise<void> => {
  const client = await broker.connect({ clientId: "p", version: 5 })
  await client.send(publishing("t"))
  await broker.settle()
  client.drop()
  await broker.settle()
}

const waitForSleeper = async (broker: TestBroker) => {
  const sleeper = await broker.connect(persistent)
  await sleeper.subscribe(["t", 1])
  const publisher = await broker.connect({ clientId: "p", version: 5 })
  await publisher.publish("t")
  return { sleeper, publisher }
}

const cases: ReadonlyArray<Case> = [
  {
    name: "a PUBLISH whose client goes while an authorizer thinks",
    options: permitting({ publish: () => Effect.never }),
    body: hitAndRun,
    spans: [
      ["publish", true],
      ["authorize", true]
    ]
  },
  {
    name: "a PUBLISH whose client goes while a policy thinks",
    options: following({ publish: () => Effect.never }),
    body: hitAndRun,
    spans: [
      ["publish", true],
      ["policy", true]
    ]
  },
  {
    name: "a PUBLISH that is refused, and the next that is not",
    options: permitting({ publish: (topic) => topic !== "no" }),
    body: async (broker) => {
      const client = await broker.connect({ clientId: "p", version: 5 })
      await client.publish("no")
      await client.publish("yes")
    },
    spans: [
      ["publish", true],
      ["publish", false]
    ]
  },
  {
    name: "a PUBLISH to more sessions than it may go to",
    options: { settings: { persistentFanoutMax: 1 } },
    body: async (broker) => {
      for (const clientId of ["a", "b"]) {
        await (await broker.connect({ ...persistent, clientId })).subscribe(["t", 1])
      }
      await (await broker.connect({ clientId: "p", version: 5 })).publish("t")
    },
    spans: [
      ["publish", true],
      ["route", true]
    ]
  },
  {
    name: "a delivery whose session is purged",
    body: async (broker) => {
      const { sleeper } = await waitForSleeper(broker)
      await sleeper.expect("publish")
      broker.broker.purge("default", "sleeper")
      await broker.settle()
    },
    spans: [["deliver", true]]
  },
  {
    name: "a delivery whose session ends with its connection",
    body: async (broker) => {
      const subscriber = await broker.connect({ clientId: "s", version: 5 })
      await subscriber.subscribe(["t", 1])
      await (await broker.connect({ clientId: "p", version: 5 })).publish("t")
      await subscriber.expect("publish")
      subscriber.drop()
      await broker.settle()
    },
    spans: [["deliver", true]]
  },
  {
    name: "a delivery that is under way when the broker stops",
    body: async (broker) => {
      const { sleeper } = await waitForSleeper(broker)
      await sleeper.expect("publish")
    },
    spans: [["deliver", true]]
  },
  {
    name: "a message that the queue of one who is away has no room for",
    options: { settings: { queueMessagesMax: 1, queuePolicy: "drop-newest" } },
    body: async (broker) => {
      const { publisher, sleeper } = await waitForSleeper(broker)
      sleeper.drop()
      await broker.settle()
      await publisher.publish("t")
      await publisher.publish("t")
    },
    spans: [["drop", false]]
  },
  {
    name: "a message that expires in the queue",
    body: async (broker) => {
      const sleeper = await broker.connect(persistent)
      await sleeper.subscribe(["t", 1])
      sleeper.drop()
      await broker.settle()
      const publisher = await broker.connect({ clientId: "p", version: 5 })
      const messageExpiry = properties.messageExpiryInterval(1)
      const packet = { version: 5, topic: "t", payload: "x", qos: 1, packetId: 7 } as const
      await publisher.send(raw.publish({ ...packet, properties: messageExpiry }))
      await publisher.expect("puback")
      await broker.advance(5000)
      await (await broker.connect(persistent)).quiet()
    },
    spans: [["expire", false]]
  },
  {
    name: "a SUBSCRIBE whose client is gone before its SUBACK",
    body: async (broker) => {
      const client = await broker.connect({ clientId: "c", version: 5 })
      const filters = ["a"] as const
      await client.send(
        raw.subscribe({ version: 5, packetId: 1, filters }),
        raw.disconnect({ reasonCode: 0 })
      )
      await client.untilClosed()
    },
    spans: []
  },
  {
    name: "a CONNECT whose client goes while an authorizer thinks",
    options: { authorizer: Layer.succeed(Authorizer, { permissions: () => Effect.never }) },
    body: async (broker) => {
      const client = broker.open(5)
      await client.send(raw.connect({ clientId: "c", version: 5 }))
      await broker.settle()
      client.drop()
      await broker.settle()
    },
    spans: [
      ["connect", true],
      ["authorize", true]
    ]
  },
  {
    name: "a CONNECT that takes too long",
    options: { authorizer: Layer.succeed(Authorizer, { permissions: () => Effect.never }) },
    body: async (broker) => {
      const client = broker.open(5)
      await client.send(raw.connect({ clientId: "c", version: 5 }))
      await broker.advance(120_000)
      await client.untilClosed()
    },
    spans: [["connect", true]]
  },
  {
    name: "a CONNECT of one who is not let in",
    options: { authenticator: Authenticator.layerAnonymous("never") },
    body: async (broker) => {
      const client = broker.open(5)
      await client.send(raw.connect({ clientId: "c", version: 5 }))
      await client.untilClosed()
    },
    spans: [
      ["connect", true],
      ["authenticate", true]
    ]
  },
  {
    name: "what a stopping broker has under way",
    options: { storage: layerMemory() },
    body: async (broker) => {
      const { publisher, sleeper } = await waitForSleeper(broker)
      sleeper.drop()
      await publisher.send(publishing("t"), publishing("t", true), raw.subscribe({ version: 5, packetId: 9 }))
    },
    spans: []
  }
]

const endOf = ({ end, name }: RecordedSpan) => [name, end?.times ?? 0]

describe("is ended once:", () => {
  for (const { body, name, options, spans: expected } of cases) {
    test(name, async () => {
      const { spans, tracer } = recordedSpans()
      const telemetry = Layer.provide(Telemetry.layer({ ratio: 1 }), Layer.setTracer(tracer))
      await withBroker({ ...options, telemetry }, body)
      expect(spans.length).toBeGreaterThan(0)
      expect(spans.map(endOf)).toEqual(spans.map((span) => [span.name, 1]))
      const ends = spans.map((span) => [span.name, span.end?.isFailure])
      for (const each of expected) expect(ends).toContainEqual([...each])
      for (const { attributes, end } of spans)
        expect(attributes.has("error.type")).toBe(end?.isFailure === true)
    })
  }
})
