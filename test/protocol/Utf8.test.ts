/**
 * UTF-8 against the platform's own strict decoder, byte by byte over everything short and by random longer
 * strings.
 */

import { describe, expect, test } from "bun:test"
import * as FastCheck from "effect/FastCheck"
import { asBuffer, decodeUtf8, isUtf8, stringFault } from "../../src/protocol/Utf8.ts"
import { seeded } from "../support/raw.ts"

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

const isWellFormed = (bytes: Uint8Array): boolean => {
  try {
    strict.decode(bytes)
    return true
  } catch {
    return false
  }
}

const faultOf = (bytes: Uint8Array): string =>
  !isWellFormed(bytes) ? "illFormed" : bytes.includes(0) ? "nul" : "none"

/** A fault may be either kind when both are there. */
const agrees = (bytes: Uint8Array): boolean => {
  const fault = stringFault(bytes, 0, bytes.length)
  const both = !isWellFormed(bytes) && bytes.includes(0)
  return (
    isUtf8(bytes, 0, bytes.length) === isWellFormed(bytes) &&
    (both ? fault !== "none" : fault === faultOf(bytes))
  )
}

describe("UTF-8", () => {
  test("[MQTT-1.5.4-1] every sequence of one and two bytes is judged as the platform does", () => {
    const wrong: Array<string> = []
    for (let value = 0; value < 0x10000; value++) {
      const bytes = Uint8Array.of(value >> 8, value & 0xff)
      if (!agrees(bytes) || !agrees(bytes.subarray(1))) wrong.push(value.toString(16))
    }
    expect(wrong).toEqual([])
  })

  test("[MQTT-1.5.4-1] the edges of every length, of surrogates and of Unicode", () => {
    const cases: ReadonlyArray<readonly [hex: string, fault: string]> = [
      ["", "none"],
      ["7f", "none"],
      ["c280", "none"],
      ["c1bf", "illFormed"],
      ["dfbf", "none"],
      ["e0a080", "none"],
      ["e09fbf", "illFormed"],
      ["ed9fbf", "none"],
      ["eda080", "illFormed"],
      ["edbfbf", "illFormed"],
      ["ee8080", "none"],
      ["efbbbf", "none"],
      ["efbfbf", "none"],
      ["f0908080", "none"],
      ["f08fbfbf", "illFormed"],
      ["f48fbfbf", "none"],
      ["f4908080", "illFormed"],
      ["f5808080", "illFormed"],
      ["c3", "illFormed"],
      ["e282", "illFormed"],
      ["f09f98", "illFormed"],
      ["00", "nul"],
      ["6100", "nul"],
      ["c3a900", "nul"]
    ]
    for (const [hex, fault] of cases) {
      const bytes = Buffer.from(hex, "hex")
      expect([hex, stringFault(bytes, 0, bytes.length)]).toEqual([hex, fault] as never)
      // The same far enough in for the native path.
      const long = Buffer.concat([Buffer.alloc(100, "x"), bytes])
      expect([hex, stringFault(long, 0, long.length)]).toEqual([hex, fault] as never)
      expect(isUtf8(long, 0, long.length)).toBe(fault !== "illFormed")
    }
  })

  test("random bytes are judged as the platform does", () => {
    const random = seeded(7)
    const lead = [0x20, 0x7f, 0x80, 0xbf, 0xc3, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xf5, 0x00]
    for (let round = 0; round < 20_000; round++) {
      const bytes = Uint8Array.from({ length: random(90) }, () =>
        random(4) === 0 ? (lead[random(lead.length)] ?? 0) : 0x61 + random(26)
      )
      if (!agrees(bytes)) expect(Buffer.from(bytes).toString("hex")).toBe("judged wrongly")
    }
  })

  test("[MQTT-1.5.4-3] strings come back as they are, byte order marks included", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.string({ unit: "binary" }), (text) => {
        const bytes = Buffer.from(`\ufeff${text}\ufeff`)
        return decodeUtf8(bytes, 0, bytes.length) === `\ufeff${text}\ufeff`
      }),
      { seed: 1 }
    )
  })

  test("ranges are judged alone", () => {
    const bytes = Buffer.from("ff61c3a9ff00", "hex")
    expect(stringFault(bytes, 1, 4)).toBe("none")
    expect(isUtf8(bytes, 1, 4)).toBe(true)
    expect(isUtf8(bytes, 1, 3)).toBe(false)
  })

  test("a Uint8Array is wrapped, not copied", () => {
    const larger = Uint8Array.of(1, 2, 3, 4)
    const wrapped = asBuffer(larger.subarray(1, 3))
    larger[1] = 9
    expect([...wrapped]).toEqual([9, 3])
    expect(asBuffer(wrapped)).toBe(wrapped)
  })
})
