import { describe, expect, test } from "bun:test"
import * as FastCheck from "effect/FastCheck"
import type { Properties } from "../../../src/protocol/Packet.ts"
import { encodeProperties } from "../../../src/protocol/Properties.ts"
import { decodeForwardedProperties, noForwardedProperties } from "../../../src/protocol/PropertyReader.ts"
import {
  changedMessage,
  isSoundChange,
  type MessageChange,
  type MessageContent
} from "../../../src/tenant/policy/MessageChange.ts"

const messageWith = (properties: Properties, payload = "payload"): MessageContent => ({
  topic: { name: "t", bytes: Buffer.from("t") },
  source: Buffer.from(`<<${payload}>>`),
  payloadStart: 2,
  payloadEnd: 2 + Buffer.byteLength(payload),
  forwardedProperties: encodeProperties(properties),
  qos: 1,
  retain: false,
  messageExpiryInterval: 30
})

describe("changedMessage", () => {
  test("without a change everything is the same, bytes and objects", () => {
    const message = messageWith({ contentType: "a" })
    expect(changedMessage(message, {}, undefined)).toEqual(message)
    expect(changedMessage(message, {}, undefined)?.forwardedProperties).toBe(message.forwardedProperties)
  })

  test("a topic that is known is not encoded again", () => {
    const known = { name: "x/y", bytes: Buffer.from("x/y") }
    const message = messageWith({})
    expect(changedMessage(message, { topic: "x/y" }, known)?.topic).toBe(known)
    expect(changedMessage(message, { topic: "t" }, known)?.topic).toBe(message.topic)
    expect(changedMessage(message, { topic: "ü" }, known)?.topic).toEqual({
      name: "ü",
      bytes: Buffer.from([0xc3, 0xbc])
    })
  })

  test("the last property that is taken away leaves nothing", () => {
    const message = messageWith({ contentType: "a" })
    const changed = changedMessage(message, { contentType: undefined }, undefined)
    expect(changed?.forwardedProperties).toBe(noForwardedProperties)
  })

  test("an expiry is set, taken away, and left alone", () => {
    const expiryOf = (change: MessageChange) =>
      changedMessage(messageWith({}), change, undefined)?.messageExpiryInterval
    expect(expiryOf({})).toBe(30)
    expect(expiryOf({ messageExpiryInterval: 5 })).toBe(5)
    expect(expiryOf({ messageExpiryInterval: undefined })).toBe(-1)
  })

  test.each([
    ["bytes that are not UTF-8", {}, { payload: new Uint8Array([0xc0]), payloadFormatIndicator: 1 }],
    ["a promise that was made before", { payloadFormatIndicator: 1 }, { payload: new Uint8Array([0xc0]) }]
  ] as const)("[MQTT-3.3.2-4] %s cannot be promised to be text", (_, properties, change) => {
    expect(changedMessage(messageWith(properties), change, undefined)).toBeUndefined()
  })

  test("any sound change is what is decoded afterwards", () => {
    const text = FastCheck.string({ unit: "grapheme" }).filter((each) => !each.includes("\0"))
    const optional = <A>(value: FastCheck.Arbitrary<A>) => FastCheck.option(value, { nil: undefined })
    const bytes = FastCheck.uint8Array({ maxLength: 8 })
    const properties = FastCheck.record(
      {
        contentType: optional(text),
        responseTopic: optional(FastCheck.constantFrom("a", "a/b")),
        correlationData: optional(bytes),
        userProperties: optional(FastCheck.array(FastCheck.tuple(text, text), { minLength: 1, maxLength: 3 }))
      },
      { requiredKeys: [] }
    )
    FastCheck.assert(
      FastCheck.property(properties, properties, (before, change) => {
        const given = Object.fromEntries(Object.entries(before).filter(([, value]) => value !== undefined))
        expect(isSoundChange(change)).toBe(true)
        const changed = changedMessage(messageWith(given), change, undefined)
        const expected = Object.entries({ ...given, ...change }).filter(([, value]) => value !== undefined)
        expect(decodeForwardedProperties(changed?.forwardedProperties ?? Buffer.from("?"))).toEqual(
          Object.fromEntries(expected) as Properties
        )
      }),
      { seed: 5, numRuns: 300 }
    )
  })
})

describe("isSoundChange", () => {
  const long = "x".repeat(65_536)
  test.each<readonly [string, unknown]>([
    ["nothing", undefined],
    ["null", null],
    ["a word", "topic"],
    ["a topic that is a number", { topic: 1 }],
    ["a payload that is a list", { payload: [1, 2] }],
    ["a QoS of 3", { qos: 3 }],
    ["a QoS in words", { qos: "1" }],
    ["a RETAIN of 1", { retain: 1 }],
    ["user properties by name", { userProperties: { a: "b" } }],
    ["a user property without value", { userProperties: [["a"]] }],
    ["a user property that is a number", { userProperties: [["a", 1]] }],
    ["[MQTT-1.5.4-2] a user property with U+0000", { userProperties: [["a", "\0"]] }],
    ["[MQTT-1.5.4-1] a lone surrogate", { contentType: "\ud800" }],
    ["a content type that is too long", { contentType: long }],
    ["[MQTT-3.3.2-14] a response topic with a wildcard", { responseTopic: "a/+" }],
    ["an empty response topic", { responseTopic: "" }],
    ["correlation data in words", { correlationData: "1" }],
    ["correlation data that are too long", { correlationData: new Uint8Array(65_536) }],
    ["a payload format of 2", { payloadFormatIndicator: 2 }],
    ["half a second", { messageExpiryInterval: 0.5 }],
    ["a past expiry", { messageExpiryInterval: -1 }],
    ["an expiry beyond four bytes", { messageExpiryInterval: 2 ** 32 }]
  ])("%s is not", (_, change) => expect(isSoundChange(change)).toBe(false))

  test.each<readonly [string, MessageChange]>([
    ["nothing to change", {}],
    [
      "everything taken away",
      { contentType: undefined, userProperties: undefined, responseTopic: undefined }
    ],
    ["a topic that is judged later", { topic: "#" }],
    ["bytes of all kinds", { payload: Buffer.from("a"), correlationData: new Uint8Array(65_535) }],
    ["no user property", { userProperties: [] }]
  ])("%s is", (_, change) => expect(isSoundChange(change)).toBe(true))
})
