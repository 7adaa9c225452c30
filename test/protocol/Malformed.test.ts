/**
 * Every malformed packet in every way that chunks can fall. The last test fails when a rule has no packet.
 */

import { describe, expect, test } from "bun:test"
import { rules } from "../../src/protocol/Rule.ts"
import { hex } from "../support/raw.ts"
import { malformedPackets as rows } from "./malformedPackets.ts"
import { decode, decoderOf, ways, wire } from "./wire.ts"

describe("malformed packets", () => {
  for (const { bytes, clause, name, reasonCode, rule, version } of rows) {
    const expected = { reasonCode, clause, reason: rules[rule].reason }
    test(`[${clause}] ${rules[rule].reason}: ${name} (after CONNECT ${version})`, () => {
      for (const { chunks, way } of ways(bytes)) {
        const { failure, packets } = decode(decoderOf(version), chunks)
        const found = { reasonCode: failure?.reasonCode, clause: failure?.clause, reason: failure?.reason }
        expect<unknown>({ way, packets, ...found }).toEqual({ way, packets: [], ...expected })
      }
    })
  }
})

describe("packet size", () => {
  const cases = [
    { name: "[MQTT-3.2.2-15] 5.0", version: 5, clause: "MQTT-3.2.2-15" },
    { name: "3.1.1", version: 4, clause: "packetBytesMax" }
  ] as const
  for (const { clause, name, version } of cases) {
    test(`${name}: a declared size beyond the limit is refused before the body comes`, () => {
      const decoder = decoderOf(version, { packetBytesMax: 100 })
      const { failure } = decode(decoder, [hex("30 63")])
      expect(failure).toMatchObject({ reasonCode: 0x95, clause, reason: rules.packetTooLarge.reason })
    })
    test(`${name}: a packet of exactly the limit is taken`, () => {
      const decoder = decoderOf(version, { packetBytesMax: 100 })
      const text = version === 5 ? `30 ** ~'t' [ ] '${"x".repeat(94)}'` : `30 ** ~'t' '${"x".repeat(95)}'`
      const bytes = wire(text)
      expect(bytes.length).toBe(100)
      for (const { chunks } of ways(bytes)) expect(decode(decoder, chunks).packets).toHaveLength(1)
    })
  }
  test("the largest size that can be declared is refused after five bytes", () => {
    const decoder = decoderOf(0, { packetBytesMax: 1024 })
    const { failure } = decode(decoder, [hex("10 ff ff ff 7f")])
    expect(failure?.reasonCode).toBe(0x95)
  })
})

test("every rule of the decoder has a case here", () => {
  const covered = new Set<string>(rows.map((row) => row.rule))
  covered.add("packetTooLarge")
  expect(Object.keys(rules).filter((rule) => !covered.has(rule))).toEqual([])
})
