/** A message's way through a broker, as spans: live, to one who is away, over a restart and a takeover. */

import { describe, expect, test } from "bun:test"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Layer from "effect/Layer"
import { Authenticator } from "../../src/auth/Authenticator.ts"
import { layerSqlite } from "../../src/storage/sqlite.ts"
import { Telemetry } from "../../src/telemetry/Telemetry.ts"
import { parseTraceContext } from "../../src/telemetry/tracing/TraceContext.ts"
import { RecordLog } from "../support/RecordLog.ts"
import { properties, type RawConnect, raw } from "../support/raw.ts"
import { type RecordedSpan, recordedSpans } from "../support/recordedSpans.ts"
import { TestBroker, type TestBrokerOptions, type TestClient, withBroker } from "../support/testBroker.ts"

const traceId = "4bf92f3577b34da6a3ce929d0e0e4736"
const parentId = "00f067aa0ba902b7"
const traceparent = properties.userProperty("traceparent", `00-${traceId}-${parentId}-01`)

interface Traced extends TestBrokerOptions {
  readonly spans: Array<RecordedSpan>
}

/** Traces what the publisher traces, or the share of it that is given. */
const traced = (ratio = 0): Traced => {
  const { spans, tracer } = recordedSpans()
  return { spans, telemetry: Layer.provide(Telemetry.layer({ ratio }), Layer.setTracer(tracer)) }
}

const named = (spans: ReadonlyArray<RecordedSpan>, name: string): RecordedSpan => {
  const found = spans.filter((span) => span.name === name)
  expect(found.map((span) => span.name)).toEqual([name])
  return found[0] as RecordedSpan
}

const publish = async (client: TestClient, qos: 0 | 1 | 2, topic = "t"): Promise<void> => {
  const { version } = client
  await client.send(
    raw.publish({
      version,
      topic,
      payload: "x",
      qos,
      packetId: qos === 0 ? 0 : 7,
      ...(version === 5 && { properties: traceparent })
    })
  )
  if (qos === 1) await client.expect("puback")
  if (qos === 2) await client.expect("pubrec")
}

const persistent: RawConnect = {
  clientId: "sleeper",
  version: 5,
  clean: false,
  properties: properties.sessionExpiryInterval(3600)
}

/** What a subscriber is told of the trace. */
const toldOf = (packet: { readonly properties?: { readonly userProperties?: object } }) =>
  (packet.properties?.userProperties as { readonly traceparent?: string } | undefined)?.traceparent

describe("a message that its publisher traces", () => {
  for (const qos of [0, 1, 2] as const) {
    test(`at QoS ${qos} has a span for itself, for routing and for each delivery`, async () => {
      const options = traced()
      const { spans } = options
      await withBroker(options, async (broker) => {
        const subscriber = await broker.connect({ clientId: "s", version: 5 })
        await subscriber.subscribe(["t", 2])
        const other = await broker.connect({ clientId: "o" })
        await other.subscribe(["t", 0])
        await publish(await broker.connect({ clientId: "p", version: 5 }), qos)
        const message = await subscriber.expect("publish")
        await other.expect("publish")
        const own = named(spans, "publish")
        expect(own).toMatchObject({ traceId, parentId })
        expect(Object.fromEntries(own.attributes)).toMatchObject({
          "messaging.system": "mqtt",
          "messaging.destination.name": "t",
          "messaging.client.id": "p",
          "messaging.message.body.size": 1,
          "heddle.tenant": "default",
          "mqtt.qos": qos
        })
        expect(named(spans, "route").parentId).toBe(own.spanId)
        const deliveries = spans.filter(({ name }) => name === "deliver")
        expect(deliveries.map(({ parentId: above }) => above)).toEqual([own.spanId, own.spanId])
        const mine = deliveries.find(({ attributes }) => attributes.get("messaging.client.id") === "s")
        expect(parseTraceContext(toldOf(message) ?? "")).toMatchObject({
          traceId,
          spanId: mine?.spanId ?? ""
        })
        expect(own.end?.isFailure).toBe(false)
        expect(mine?.end === undefined).toBe(qos > 0)
        const packetId = message.messageId ?? 0
        if (qos === 1) await subscriber.send(raw.puback({ packetId }))
        if (qos === 2) {
          await subscriber.send(raw.pubrec({ packetId }))
          await subscriber.expect("pubrel")
          await subscriber.send(raw.pubcomp({ packetId }))
        }
        await subscriber.quiet()
        expect(mine?.end?.isFailure).toBe(false)
        expect(mine?.events).toEqual([[], ["acknowledged"], ["received", "acknowledged"]][qos] ?? [])
      })
    })
  }

  test("is delivered to one who was away as a child of what was published", async () => {
    const options = traced()
    await withBroker(options, async (broker) => {
      const sleeper = await broker.connect(persistent)
      await sleeper.subscribe(["t", 1])
      await sleeper.send(raw.disconnect({ reasonCode: 0 }))
      await sleeper.expectClosed()
      await publish(await broker.connect({ clientId: "p", version: 5 }), 1)
      const own = named(options.spans, "publish")
      expect(own.events).toEqual(["queued"])
      await broker.advance(8 * 3_600)
      const awake = await broker.connect(persistent)
      const message = await awake.expect("publish")
      const delivery = named(options.spans, "deliver")
      expect(delivery).toMatchObject({ traceId, parentId: own.spanId })
      expect(parseTraceContext(toldOf(message) ?? "")?.spanId).toBe(delivery.spanId)
    })
  })

  test("goes on after the broker was killed in between", async () => {
    const stored = new RecordLog()
    const before = traced()
    const first = await TestBroker.start({ ...before, stored })
    const sleeper = await first.connect(persistent)
    await sleeper.subscribe(["t", 1])
    await sleeper.send(raw.disconnect({ reasonCode: 0 }))
    await sleeper.expectClosed()
    await publish(await first.connect({ clientId: "p", version: 5 }), 1)
    await first.settle()
    const survived = stored.replayed()
    await first.stop()
    const own = named(before.spans, "publish")
    const after = traced()
    await withBroker({ ...after, stored: survived }, async (broker) => {
      await (await broker.connect(persistent)).expect("publish")
      expect(named(after.spans, "deliver")).toMatchObject({ traceId, parentId: own.spanId })
    })
  })

  test("that another connection takes over unacknowledged has a second delivery", async () => {
    const options = traced()
    await withBroker(options, async (broker) => {
      const first = await broker.connect(persistent)
      await first.subscribe(["t", 1])
      await publish(await broker.connect({ clientId: "p", version: 5 }), 1)
      await first.expect("publish")
      const second = await broker.connect(persistent)
      const again = await second.expect("publish")
      expect(again.dup).toBe(true)
      await second.send(raw.puback({ packetId: again.messageId ?? 0 }))
      await second.quiet()
      const deliveries = options.spans.filter(({ name }) => name === "deliver")
      expect(deliveries.map(({ end }) => end?.isFailure)).toEqual([true, false])
      expect(deliveries.map(({ attributes }) => attributes.get("mqtt.dup"))).toEqual([false, true])
    })
  })

  test("and is refused says why", async () => {
    const options = traced()
    await withBroker(options, async (broker) => {
      const publisher = await broker.connect({ clientId: "p", version: 5 })
      await publish(publisher, 1, "$SYS/mine")
      expect(named(options.spans, "publish").end?.isFailure).toBe(true)
    })
  })
})

describe("a message of a client that cannot say", () => {
  test("begins a trace where the broker samples it, also in version 3.1.1", async () => {
    const options = traced(1)
    await withBroker(options, async (broker) => {
      const subscriber = await broker.connect({ clientId: "s", version: 5 })
      await subscriber.subscribe("t")
      await publish(await broker.connect({ clientId: "p" }), 0)
      const told = parseTraceContext(toldOf(await subscriber.expect("publish")) ?? "")
      const own = named(options.spans, "publish")
      expect(own.parentId).toBeUndefined()
      expect(told).toMatchObject({ traceId: own.traceId, spanId: named(options.spans, "deliver").spanId })
    })
  })

  test("has none where it does not", async () => {
    const options = traced(0)
    await withBroker(options, async (broker) => {
      const subscriber = await broker.connect({ clientId: "s", version: 5 })
      await subscriber.subscribe("t")
      await publish(await broker.connect({ clientId: "p" }), 0)
      expect(toldOf(await subscriber.expect("publish"))).toBeUndefined()
      expect(options.spans).toEqual([])
    })
  })

  test("or that dies has a trace of its will", async () => {
    const options = traced(1)
    await withBroker(options, async (broker) => {
      const subscriber = await broker.connect({ clientId: "s" })
      await subscriber.subscribe("last")
      const mortal = await broker.connect({ clientId: "m", will: { topic: "last", payload: "words" } })
      mortal.drop()
      await subscriber.expect("publish")
      const will = named(options.spans, "will")
      expect(named(options.spans, "deliver")).toMatchObject({ traceId: will.traceId, parentId: will.spanId })
    })
  })
})

describe("the place in a trace", () => {
  test("is left out where it would make the message larger than the client takes", async () => {
    const options = traced(1)
    await withBroker(options, async (broker) => {
      const properties5 = properties.maximumPacketSize(40)
      const subscriber = await broker.connect({ clientId: "s", version: 5, properties: properties5 })
      await subscriber.subscribe(["t", 1])
      await publish(await broker.connect({ clientId: "p" }), 1)
      expect(toldOf(await subscriber.expect("publish"))).toBeUndefined()
      expect(named(options.spans, "deliver").end).toBeUndefined()
    })
  })

  test("is not kept with a retained message: a replay belongs to no trace", async () => {
    const options = traced(1)
    await withBroker(options, async (broker) => {
      const early = await broker.connect({ clientId: "e", version: 5 })
      await early.subscribe("t")
      const publisher = await broker.connect({ clientId: "p" })
      await publisher.publish("t", "x", { retain: true })
      expect(toldOf(await early.expect("publish"))).toBeDefined()
      const late = await broker.connect({ clientId: "l", version: 5 })
      await late.subscribe(["t", 1])
      expect(toldOf(await late.expect("publish"))).toBeUndefined()
      expect(named(options.spans, "deliver").attributes.get("messaging.client.id")).toBe("e")
    })
  })

  test("is not taken up again with a retained message after a restart", async () => {
    const stored = new RecordLog()
    const first = await TestBroker.start({ ...traced(1), stored })
    await (await first.connect({ clientId: "p" })).publish("t", "x", { retain: true })
    const survived = stored.replayed()
    await first.stop()
    const after = traced()
    await withBroker({ ...after, stored: survived }, async (broker) => {
      const late = await broker.connect({ clientId: "l", version: 5 })
      await late.subscribe("t")
      expect(toldOf(await late.expect("publish"))).toBeUndefined()
      expect(after.spans).toEqual([])
    })
  })

  test("is carried by a will of a client that the broker did not outlive", async () => {
    const stored = new RecordLog()
    const first = await TestBroker.start({ stored })
    await first.connect({ ...persistent, clientId: "m", will: { topic: "t", payload: "x" } })
    const sleeper = await first.connect(persistent)
    await sleeper.subscribe(["t", 1])
    await first.settle()
    const survived = stored.replayed()
    await first.stop()
    const after = traced(1)
    await withBroker({ ...after, stored: survived }, async (broker) => {
      await (await broker.connect(persistent)).expect("publish")
      const will = named(after.spans, "will")
      expect(will.attributes.get("messaging.client.id")).toBe("m")
      expect(named(after.spans, "deliver").parentId).toBe(will.spanId)
    })
  })
})

describe("what else a client does", () => {
  test("CONNECT: authenticated, authorized, and what it took over", async () => {
    const options = traced(1)
    await withBroker(options, async (broker) => {
      await broker.connect(persistent)
      await broker.connect(persistent)
      const connects = options.spans.filter(({ name }) => name === "connect")
      expect(connects.map(({ events }) => events)).toEqual([[], ["took over"]])
      expect(connects.map(({ attributes }) => attributes.get("mqtt.session_present"))).toEqual([false, true])
      for (const { end, spanId } of connects) {
        expect(end?.isFailure).toBe(false)
        const below = options.spans.filter((span) => span.parentId === spanId)
        expect(below.map(({ name }) => name)).toEqual(["authenticate", "authorize"])
      }
    })
  })

  test("a CONNECT that is refused says why", async () => {
    const options = { ...traced(1), authenticator: Authenticator.layerAnonymous("never") }
    await withBroker(options, async (broker) => {
      const stranger = broker.open(5)
      await stranger.send(raw.connect({ clientId: "stranger", version: 5 }))
      expect((await stranger.expect("connack")).reasonCode).toBe(0x87)
      expect(named(options.spans, "connect").end?.isFailure).toBe(true)
      expect(named(options.spans, "authenticate").end?.isFailure).toBe(true)
    })
  })

  test("SUBSCRIBE, until its SUBACK", async () => {
    const options = traced(1)
    await withBroker(options, async (broker) => {
      const client = await broker.connect({ clientId: "c", version: 5 })
      await client.subscribe("a", "$share/g/b")
      const span = named(options.spans, "subscribe")
      expect(span.end?.isFailure).toBe(false)
      expect(span.attributes.get("messaging.batch.message_count")).toBe(2)
    })
  })
})

test("a commit is linked to the messages that were in it", async () => {
  const folder = mkdtempSync(join(tmpdir(), "heddle-"))
  const { spans, telemetry = Layer.empty } = traced()
  const storage = Layer.orDie(Layer.provide(layerSqlite({ path: folder }), telemetry))
  await withBroker({ telemetry, storage, isRealTime: true }, async (broker) => {
    const sleeper = await broker.connect(persistent)
    await sleeper.subscribe(["t", 1])
    await sleeper.send(raw.disconnect({ reasonCode: 0 }))
    await sleeper.expectClosed()
    await publish(await broker.connect({ clientId: "p", version: 5 }), 1)
    expect(named(spans, "store").parentId).toBe(named(spans, "publish").spanId)
    const commit = named(spans, "commit")
    expect(commit.links).toEqual([traceId])
    expect(commit.end?.isFailure).toBe(false)
  })
  rmSync(folder, { recursive: true })
})

describe("[setting tracePropagation] subscribers are told", () => {
  const told = async (tracePropagation: "inject" | "forward" | "strip", telemetry = traced()) => {
    let answer: string | undefined
    await withBroker({ ...telemetry, settings: { tracePropagation } }, async (broker) => {
      const subscriber = await broker.connect({ clientId: "s", version: 5 })
      await subscriber.subscribe("t")
      await publish(await broker.connect({ clientId: "p", version: 5 }), 0)
      answer = toldOf(await subscriber.expect("publish"))
    })
    return answer
  }

  test("the broker's place in the trace by `inject`", async () => {
    const answer = parseTraceContext((await told("inject")) ?? "")
    expect(answer?.traceId).toBe(traceId)
    expect(answer?.spanId).not.toBe(parentId)
  })

  test("the publisher's by `forward`, and wherever nothing is traced", async () => {
    expect(await told("forward")).toBe(`00-${traceId}-${parentId}-01`)
    let answer: string | undefined
    await withBroker({}, async (broker) => {
      const subscriber = await broker.connect({ clientId: "s", version: 5 })
      await subscriber.subscribe("t")
      await publish(await broker.connect({ clientId: "p", version: 5 }), 0)
      answer = toldOf(await subscriber.expect("publish"))
    })
    expect(answer).toBe(`00-${traceId}-${parentId}-01`)
  })

  test("nothing by `strip`", async () => {
    expect(await told("strip")).toBeUndefined()
  })

  test("nothing by `strip`, of a will either", async () => {
    await withBroker({ settings: { tracePropagation: "strip" } }, async (broker) => {
      const subscriber = await broker.connect({ clientId: "s", version: 5 })
      await subscriber.subscribe("t")
      const will = { topic: "t", payload: "x", properties: traceparent }
      const mortal = await broker.connect({ clientId: "m", version: 5, will })
      mortal.drop()
      expect(toldOf(await subscriber.expect("publish"))).toBeUndefined()
    })
  })
})
