/** The property table itself, and forwarded properties as values. */

import { describe, expect, test } from "bun:test"
import * as FastCheck from "effect/FastCheck"
import type { Properties } from "../../src/protocol/Packet.ts"
import { encodeForwardedProperties, encodeProperties, propertySpecs } from "../../src/protocol/Properties.ts"
import { decodeForwardedProperties } from "../../src/protocol/PropertyReader.ts"
import { toHex } from "../support/raw.ts"
import { wire } from "./wire.ts"

describe("the property table", () => {
  test("has the 27 properties of section 2.2.2.2, each with a bit of its own", () => {
    expect(propertySpecs.map((spec) => spec.id)).toEqual([
      1, 2, 3, 8, 9, 11, 17, 18, 19, 21, 22, 23, 24, 25, 26, 28, 31, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42
    ])
    expect(new Set(propertySpecs.map((spec) => spec.bit)).size).toBe(27)
    expect(new Set(propertySpecs.map((spec) => spec.name)).size).toBe(27)
  })

  test("[MQTT-3.3.2-15] forwards five properties", () => {
    const forwarded = propertySpecs.filter((spec) => spec.forwarded).map((spec) => spec.name)
    expect(forwarded).toEqual([
      "payloadFormatIndicator",
      "contentType",
      "responseTopic",
      "correlationData",
      "userProperties"
    ])
  })
})

const message: Properties = {
  payloadFormatIndicator: 1,
  messageExpiryInterval: 4294967295,
  contentType: "é",
  responseTopic: "a/b",
  correlationData: Uint8Array.of(0, 255),
  topicAlias: 258,
  subscriptionIdentifiers: [1, 268435455],
  userProperties: [
    ["b", "1"],
    ["__proto__", ""],
    ["b", "2"]
  ]
}

describe("encoding", () => {
  test("every type", () => {
    expect(toHex(encodeProperties(message))).toBe(
      toHex(
        wire(`01 01 02 ffffffff 03 ~'é' 08 ~'a/b' 09 ~00ff 0b 01 0b ffffff7f 23 0102
          26 ~'b' ~'1' 26 ~'__proto__' 0000 26 ~'b' ~'2'`)
      )
    )
    expect(toHex(encodeProperties({ retainAvailable: false, requestProblemInformation: true }))).toBe(
      "17012500"
    )
  })

  test("only what is forwarded", () => {
    expect(toHex(encodeForwardedProperties(message))).toBe(
      toHex(wire("01 01 03 ~'é' 08 ~'a/b' 09 ~00ff 26 ~'b' ~'1' 26 ~'__proto__' 0000 26 ~'b' ~'2'"))
    )
    expect(encodeForwardedProperties({ topicAlias: 1 })).toHaveLength(0)
  })

  test("a value that does not fit two bytes of length is an error of the caller", () => {
    expect(() => encodeProperties({ contentType: "x".repeat(65536) })).toThrow(RangeError)
  })

  test("forwarded properties come back as they were", () => {
    const text = FastCheck.string({ unit: "grapheme" }).filter((value) => !value.includes("\0"))
    const property = FastCheck.property(
      FastCheck.record(
        {
          payloadFormatIndicator: FastCheck.constantFrom(0 as const, 1 as const),
          contentType: text,
          responseTopic: text.map((value) => `r${value.replaceAll(/[#+]/g, "")}`),
          correlationData: FastCheck.uint8Array(),
          userProperties: FastCheck.array(FastCheck.tuple(text, text), { minLength: 1 })
        },
        { requiredKeys: [] }
      ),
      (properties) => {
        const given = properties as Properties
        expect(decodeForwardedProperties(encodeForwardedProperties(given))).toEqual(given)
      }
    )
    FastCheck.assert(property, { seed: 5 })
  })
})
