/**
 * Our codec against `mqtt-packet`, both ways, on random packets of every kind that both understand: what it
 * generates we read as it was meant, and what we write it reads as it was meant.
 */

import { describe, expect, test } from "bun:test"
import * as FastCheck from "effect/FastCheck"
import { generate, type Packet as LibraryPacket } from "mqtt-packet"
import { writeAck } from "../../src/protocol/AckWriter.ts"
import { ByteSink, PagePool } from "../../src/protocol/ByteSink.ts"
import { encodeControl } from "../../src/protocol/ControlWriter.ts"
import type { AckTag, Properties, ProtocolVersion, ServerControlPacket } from "../../src/protocol/Packet.ts"
import { encodeForwardedProperties } from "../../src/protocol/Properties.ts"
import { decodeForwardedProperties } from "../../src/protocol/PropertyReader.ts"
import {
  publishByte,
  publishBytes,
  publishFrame,
  writeFrame,
  writePublish
} from "../../src/protocol/PublishWriter.ts"
import { readServer, toHex } from "../support/raw.ts"
import { decode, decoderOf } from "./wire.ts"

const runs = { seed: 20_26, numRuns: 300 }

const version: FastCheck.Arbitrary<ProtocolVersion> = FastCheck.constantFrom(3, 4, 5)
const qos = FastCheck.constantFrom(0 as const, 1 as const, 2 as const)
const packetId = FastCheck.integer({ min: 1, max: 65535 })
const seconds = FastCheck.integer({ min: 0, max: 0xffffffff })
const text = FastCheck.string({ unit: "grapheme", maxLength: 20 }).filter((value) => !value.includes("\0"))
const topicName = text.map((value) => `t/${value.replaceAll(/[#+]/g, "-")}`)
const bytes = FastCheck.uint8Array({ maxLength: 80 })
const userProperties = FastCheck.array(FastCheck.tuple(text, text), { minLength: 1, maxLength: 5 })

/** Some of the optional fields, never one with the value undefined. */
const some = <T>(record: { [K in keyof T]: FastCheck.Arbitrary<T[K]> }): FastCheck.Arbitrary<Partial<T>> =>
  FastCheck.record(record, { requiredKeys: [] })

const messageProperties = some<Properties>({
  payloadFormatIndicator: FastCheck.constantFrom(0 as const),
  contentType: text,
  responseTopic: topicName,
  correlationData: bytes,
  userProperties
} as never) as FastCheck.Arbitrary<Properties>

/** Our properties in the library's spelling; pairs as an array, which keeps their order. */
const spelled = (properties: Properties): Record<string, unknown> => {
  const { correlationData, authenticationData, payloadFormatIndicator, userProperties, ...same } = properties
  return {
    ...same,
    ...(correlationData !== undefined && { correlationData: Buffer.from(correlationData) }),
    ...(authenticationData !== undefined && { authenticationData: Buffer.from(authenticationData) }),
    ...(payloadFormatIndicator !== undefined && { payloadFormatIndicator: payloadFormatIndicator === 1 }),
    ...(userProperties !== undefined && {
      userProperties: userProperties.map(([name, value]) => ({ [name]: value }))
    })
  }
}

const asClient = (packet: object, version: ProtocolVersion): unknown => {
  const encoded = generate(packet as LibraryPacket, { protocolVersion: version })
  const { failure, packets } = decode(decoderOf(version), [encoded])
  if (failure !== undefined) throw failure
  return packets[0]
}

describe("what mqtt-packet generates is read as it was meant", () => {
  test("CONNECT", () => {
    const will = FastCheck.record({ topic: topicName, payload: bytes, qos, retain: FastCheck.boolean() })
    const property = FastCheck.property(
      version,
      FastCheck.record({
        clientId: text,
        clean: FastCheck.boolean(),
        keepAlive: FastCheck.integer({ min: 0, max: 65535 })
      }),
      FastCheck.option(text, { nil: undefined }),
      FastCheck.option(bytes, { nil: undefined }),
      FastCheck.option(will, { nil: undefined }),
      messageProperties,
      (version, base, username, password, will, properties) => {
        const clientId = `c${base.clientId}`
        const hasPassword = password !== undefined && username !== undefined
        const encoded = generate({
          cmd: "connect",
          protocolId: version === 3 ? "MQIsdp" : "MQTT",
          protocolVersion: version,
          clientId,
          clean: base.clean,
          keepalive: base.keepAlive,
          ...(username !== undefined && { username }),
          ...(hasPassword && { password: Buffer.from(password) }),
          ...(will !== undefined && {
            will: {
              ...will,
              payload: Buffer.from(will.payload),
              ...(version === 5 && { properties: { ...spelled(properties), willDelayInterval: 7 } })
            }
          })
        } as LibraryPacket)
        const { failure, packets } = decode(decoderOf(0), [encoded])
        if (failure !== undefined) throw failure
        const forwarded =
          version === 5 ? decodeForwardedProperties(encodeForwardedProperties(properties)) : {}
        const connect = packets[0] as { will: { forwardedProperties: Uint8Array } | undefined }
        const readWill = connect.will && decodeForwardedProperties(connect.will.forwardedProperties)
        expect<unknown>(packets[0]).toMatchObject({
          _tag: "Connect",
          protocolVersion: version,
          clientId,
          cleanStart: base.clean,
          keepAlive: base.keepAlive,
          username,
          password: hasPassword ? password : undefined,
          will:
            will === undefined
              ? undefined
              : { ...will, delayInterval: version === 5 ? 7 : 0, messageExpiryInterval: -1 }
        })
        expect<unknown>(readWill).toEqual(will === undefined ? undefined : forwarded)
      }
    )
    FastCheck.assert(property, runs)
  })

  test("PUBLISH", () => {
    const property = FastCheck.property(
      version,
      FastCheck.record({
        topic: topicName,
        payload: bytes,
        qos,
        retain: FastCheck.boolean(),
        dup: FastCheck.boolean()
      }),
      packetId,
      messageProperties,
      some<Properties>({ messageExpiryInterval: seconds, topicAlias: packetId } as never),
      (version, message, packetId, properties, own) => {
        const dup = message.dup && message.qos > 0
        const read = asClient(
          {
            cmd: "publish",
            ...message,
            dup,
            payload: Buffer.from(message.payload),
            messageId: packetId,
            properties: { ...own, ...spelled(properties) }
          },
          version
        ) as { forwarded: string }
        expect<unknown>(read).toMatchObject({
          _tag: "Publish",
          topic: message.topic,
          topicBytes: toHex(Buffer.from(message.topic)),
          payload: toHex(message.payload),
          qos: message.qos,
          retain: message.retain,
          dup,
          packetId: message.qos > 0 ? packetId : 0,
          topicAlias: version === 5 ? ((own as Properties).topicAlias ?? 0) : 0,
          messageExpiryInterval: version === 5 ? ((own as Properties).messageExpiryInterval ?? -1) : -1
        })
        const forwarded = decodeForwardedProperties(Buffer.from(read.forwarded, "hex"))
        expect<unknown>(forwarded).toEqual(version === 5 ? properties : {})
      }
    )
    FastCheck.assert(property, runs)
  })

  test("SUBSCRIBE and UNSUBSCRIBE", () => {
    const subscription = FastCheck.record({
      topic: topicName,
      qos,
      nl: FastCheck.boolean(),
      rap: FastCheck.boolean(),
      rh: FastCheck.constantFrom(0, 1, 2)
    })
    const property = FastCheck.property(
      version,
      packetId,
      FastCheck.array(subscription, { minLength: 1, maxLength: 8 }),
      FastCheck.integer({ min: 1, max: 268_435_455 }),
      (version, messageId, subscriptions, subscriptionIdentifier) => {
        const properties = { subscriptionIdentifier }
        const is5 = version === 5
        expect(asClient({ cmd: "subscribe", messageId, subscriptions, properties }, version)).toEqual({
          _tag: "Subscribe",
          packetId: messageId,
          subscriptions: subscriptions.map((each) => ({
            topicFilter: each.topic,
            qos: each.qos,
            noLocal: is5 && each.nl,
            retainAsPublished: is5 && each.rap,
            retainHandling: is5 ? each.rh : 0
          })),
          subscriptionIdentifier: is5 ? subscriptionIdentifier : 0,
          userProperties: []
        })
        const unsubscriptions = subscriptions.map((each) => each.topic)
        expect(asClient({ cmd: "unsubscribe", messageId, unsubscriptions }, version)).toEqual({
          _tag: "Unsubscribe",
          packetId: messageId,
          topicFilters: unsubscriptions,
          userProperties: []
        })
      }
    )
    FastCheck.assert(property, runs)
  })

  test("acknowledgements, PINGREQ, DISCONNECT and AUTH", () => {
    for (const version of [3, 4, 5] as const) {
      for (const tag of ["Puback", "Pubrec", "Pubrel", "Pubcomp"] as const) {
        const expected = { _tag: tag, packetId: 513, reasonCode: 0 }
        const packet = { cmd: tag.toLowerCase(), messageId: 513, reasonCode: 0 }
        expect(asClient(packet, version)).toEqual(expected)
        expect(asClient({ ...packet, properties: { reasonString: "why" } }, version)).toEqual(expected)
      }
      expect(asClient({ cmd: "pingreq" }, version)).toEqual({ _tag: "Pingreq" })
      expect(asClient({ cmd: "disconnect", reasonCode: 0 }, version)).toEqual({
        _tag: "Disconnect",
        reasonCode: 0,
        properties: {}
      })
    }
    const properties = { authenticationMethod: "m", authenticationData: Buffer.from("data") }
    expect(asClient({ cmd: "auth", reasonCode: 0x18, properties }, 5)).toEqual({
      _tag: "Auth",
      reasonCode: 0x18,
      properties: { authenticationMethod: "m", authenticationData: new TextEncoder().encode("data") }
    })
  })
})

const sinkOf = (): ByteSink => new ByteSink(new PagePool())
const written = (sink: ByteSink): Buffer => Buffer.from(sink.bytes.subarray(0, sink.length))

const contentOf = (topic: string, payload: Uint8Array, properties: Properties) => ({
  topic: { name: topic, bytes: Uint8Array.from(Buffer.from(topic)) },
  // Not at the start of its source, as in a chunk.
  source: Buffer.concat([Buffer.from("before"), payload, Buffer.from("after")]),
  payloadStart: 6,
  payloadEnd: 6 + payload.length,
  forwardedProperties: encodeForwardedProperties(properties)
})

const libraryUserProperties = (pairs: ReadonlyArray<readonly [string, string]>): unknown => {
  const values = new Map<string, Array<string>>()
  for (const [name, value] of pairs) values.set(name, [...(values.get(name) ?? []), value])
  const merged: Record<string, unknown> = Object.create(null)
  for (const [name, each] of values) merged[name] = each.length === 1 ? each[0] : each
  return merged
}

describe("what we write is read by mqtt-packet as it was meant", () => {
  test("PUBLISH, its size, and the same as a frame", () => {
    const property = FastCheck.property(
      version,
      FastCheck.record({
        topic: topicName,
        payload: bytes,
        qos,
        retain: FastCheck.boolean(),
        dup: FastCheck.boolean()
      }),
      packetId,
      messageProperties,
      FastCheck.record({
        topicAlias: FastCheck.integer({ min: 0, max: 65535 }),
        sendTopic: FastCheck.boolean(),
        messageExpiryInterval: FastCheck.oneof(FastCheck.constant(-1), seconds),
        subscriptionIdentifiers: FastCheck.array(FastCheck.integer({ min: 1, max: 268_435_455 }), {
          maxLength: 4
        })
      }),
      (version, message, packetId, properties, own) => {
        const { payload, topic, ...flags } = message
        const sendTopic = own.sendTopic || own.topicAlias === 0 || version !== 5
        const header = { ...flags, ...own, packetId, sendTopic }
        const content = contentOf(topic, payload, properties)
        const sink = sinkOf()
        writePublish(sink, version, content, header)
        expect(sink.length).toBe(publishBytes(version, content, header))
        const [read, ...rest] = readServer(written(sink), version)
        expect(rest).toEqual([])
        expect<unknown>(read).toMatchObject({
          cmd: "publish",
          ...flags,
          topic: sendTopic ? topic : "",
          payload: Buffer.from(payload),
          ...(flags.qos > 0 && { messageId: packetId })
        })
        if (version === 5) {
          const found = (read as { properties?: Record<string, unknown> }).properties ?? {}
          const identifiers = own.subscriptionIdentifiers
          expect<unknown>(found).toMatchObject({
            ...(own.topicAlias > 0 && { topicAlias: own.topicAlias }),
            ...(own.messageExpiryInterval >= 0 && { messageExpiryInterval: own.messageExpiryInterval }),
            ...(identifiers.length > 0 && {
              subscriptionIdentifier: identifiers.length === 1 ? identifiers[0] : identifiers
            }),
            ...(properties.contentType && { contentType: properties.contentType }),
            ...(properties.responseTopic && { responseTopic: properties.responseTopic })
          })
          expect("topicAlias" in found).toBe(own.topicAlias > 0)
          expect("messageExpiryInterval" in found).toBe(own.messageExpiryInterval >= 0)
          expect("subscriptionIdentifier" in found).toBe(identifiers.length > 0)
        }

        const plainHeader = {
          ...header,
          topicAlias: 0,
          sendTopic: true,
          messageExpiryInterval: -1,
          subscriptionIdentifiers: []
        }
        const direct = sinkOf()
        writePublish(direct, version, content, plainHeader)
        const framed = sinkOf()
        const frame = publishFrame(version, content, flags.qos > 0)
        writeFrame(framed, frame, publishByte(flags.qos, flags.retain, flags.dup), packetId)
        expect(toHex(written(framed))).toBe(toHex(written(direct)))
      }
    )
    FastCheck.assert(property, runs)
  })

  test("acknowledgements", () => {
    const codes: Record<AckTag, number> = { Puback: 0x10, Pubrec: 0x97, Pubrel: 0x92, Pubcomp: 0x92 }
    for (const version of [3, 4, 5] as const) {
      for (const tag of ["Puback", "Pubrec", "Pubrel", "Pubcomp"] as const) {
        for (const reasonCode of [0, codes[tag]]) {
          const sink = sinkOf()
          writeAck(sink, version, tag, 0xfffe, reasonCode)
          const [read] = readServer(written(sink), version)
          expect<unknown>(read).toMatchObject({
            cmd: tag.toLowerCase(),
            messageId: 0xfffe,
            ...(version === 5 && { reasonCode })
          })
          expect(sink.length).toBe(version === 5 && reasonCode !== 0 ? 5 : 4)
        }
      }
    }
  })

  test("control packets of 5.0", () => {
    const explanation = some<Properties>({
      reasonString: text,
      userProperties
    } as never) as FastCheck.Arbitrary<Properties>
    const reasonCodes = FastCheck.array(FastCheck.constantFrom(0, 0x80, 0x87), { minLength: 1, maxLength: 5 })
    const packet: FastCheck.Arbitrary<ServerControlPacket> = FastCheck.oneof(
      FastCheck.record({
        _tag: FastCheck.constant("Connack" as const),
        sessionPresent: FastCheck.boolean(),
        reasonCode: FastCheck.constant(0),
        properties: explanation
      }),
      FastCheck.record({
        _tag: FastCheck.constant("Suback" as const),
        packetId,
        reasonCodes,
        properties: explanation
      }),
      FastCheck.record({
        _tag: FastCheck.constant("Unsuback" as const),
        packetId,
        reasonCodes,
        properties: explanation
      }),
      FastCheck.record({
        _tag: FastCheck.constant("Disconnect" as const),
        reasonCode: FastCheck.constantFrom(0x8b, 0x8e, 0x9d),
        properties: explanation
      })
    )
    const property = FastCheck.property(packet, (packet) => {
      const encoded = encodeControl(packet, 5, { packetBytesMax: 1e6, requestProblemInformation: true })
      const [read, ...rest] = readServer(encoded ?? new Uint8Array(0), 5)
      expect(rest).toEqual([])
      if (packet._tag === "Pingresp") return
      const { reasonString, userProperties } = packet.properties
      expect<unknown>(read).toMatchObject({
        cmd: packet._tag.toLowerCase(),
        ...("packetId" in packet && { messageId: packet.packetId, granted: packet.reasonCodes }),
        ...("reasonCode" in packet && { reasonCode: packet.reasonCode }),
        ...("sessionPresent" in packet && { sessionPresent: packet.sessionPresent })
      })
      const found = (read as { properties?: Record<string, unknown> }).properties ?? {}
      expect(found.reasonString).toEqual(reasonString)
      const merged = userProperties && libraryUserProperties(userProperties)
      // The library forgets an earlier value that is the empty string.
      if (!userProperties?.some(([, value]) => value === ""))
        expect(found.userProperties).toEqual(merged as never)
    })
    FastCheck.assert(property, runs)
  })
})
