/** Admission as a pure machine with instants, and the networks that it and the proxies are judged by. */

import { describe, expect, test } from "bun:test"
import * as FastCheck from "effect/FastCheck"
import type { AdmissionOptions } from "../../src/transport/AdmissionLimit.ts"
import { AdmissionLimit } from "../../src/transport/AdmissionLimit.ts"
import { CidrError, CidrSet, canonicalAddress, limitKey } from "../../src/transport/Cidr.ts"

const limit = (options: Partial<AdmissionOptions>): AdmissionLimit =>
  new AdmissionLimit({
    ...{
      acceptsPerSecond: 1e6,
      acceptsBurst: 1e6,
      acceptsPerSecondPerAddress: 1e6,
      acceptsBurstPerAddress: 1e6
    },
    ...{ pendingMax: 1e6, pendingMaxPerAddress: 1e6, addressesMax: 100 },
    ...options
  })

describe("AdmissionLimit", () => {
  test("[attack 4] the listener's rate: a burst, then as many as the rate", () => {
    const admission = limit({ acceptsPerSecond: 10, acceptsBurst: 3 })
    for (const address of ["192.0.2.1", "192.0.2.2", "192.0.2.3"])
      expect(admission.admit(address, 0)).toBeUndefined()
    expect(admission.admit("192.0.2.4", 0)).toBe("accept rate")
    expect(admission.admit("192.0.2.4", 99)).toBe("accept rate")
    expect(admission.admit("192.0.2.4", 100)).toBeUndefined()
    expect(admission.admit("192.0.2.4", 100)).toBe("accept rate")
    expect(admission.admit("192.0.2.4", 50)).toBe("accept rate")
    for (let n = 0; n < 3; n++) expect(admission.admit("192.0.2.5", 60_000)).toBeUndefined()
    expect(admission.admit("192.0.2.5", 60_000)).toBe("accept rate")
  })

  test("[attack 4] one address cannot take the others' share", () => {
    const admission = limit({
      acceptsPerSecondPerAddress: 1,
      acceptsBurstPerAddress: 2,
      acceptsBurst: 3,
      acceptsPerSecond: 0
    })
    for (let n = 0; n < 2; n++) expect(admission.admit("192.0.2.1", 0)).toBeUndefined()
    for (let n = 0; n < 50; n++) expect(admission.admit("192.0.2.1", 500)).toBe("address accept rate")
    expect(admission.admit("192.0.2.2", 500)).toBeUndefined()
  })

  test("one customer line of IPv6 is one address", () => {
    const admission = limit({ acceptsPerSecondPerAddress: 0, acceptsBurstPerAddress: 1 })
    expect(admission.admit("2001:db8:1:2::1", 0)).toBeUndefined()
    expect(admission.admit("2001:db8:1:2:ffff::9", 0)).toBe("address accept rate")
    expect(admission.admit("2001:db8:1:3::1", 0)).toBeUndefined()
  })

  test("[attack 3] pending handshakes, of all and of one address, until they settle", () => {
    const admission = limit({ pendingMax: 3, pendingMaxPerAddress: 2 })
    expect(admission.admit("192.0.2.1", 0)).toBeUndefined()
    expect(admission.admit("192.0.2.1", 0)).toBeUndefined()
    expect(admission.admit("192.0.2.1", 0)).toBe("address pending handshakes")
    expect(admission.admit("192.0.2.2", 0)).toBeUndefined()
    expect(admission.admit("192.0.2.3", 0)).toBe("pending handshakes")
    admission.settled("192.0.2.1")
    expect(admission.pending).toBe(2)
    expect(admission.admit("192.0.2.1", 0)).toBeUndefined()
  })

  test("a load balancer is limited by its clients' addresses only", () => {
    const admission = limit({ pendingMaxPerAddress: 1, proxies: new CidrSet(["10.0.0.0/8"]) })
    for (let n = 0; n < 5; n++) expect(admission.admit("10.0.0.1", 0)).toBeUndefined()
    expect(admission.admit("192.0.2.1", 0, "forwarded")).toBeUndefined()
    expect(admission.admit("192.0.2.1", 0, "forwarded")).toBe("address pending handshakes")
    admission.settled("192.0.2.1", "forwarded")
    expect(admission.admit("192.0.2.1", 0, "forwarded")).toBeUndefined()
    expect(admission.pending).toBe(5)
  })

  test("the address table is bounded, and addresses with pending handshakes stay in it", () => {
    const admission = limit({ addressesMax: 10, pendingMax: 5, pendingMaxPerAddress: 1 })
    for (let n = 0; n < 4; n++) expect(admission.admit(`192.0.2.${n}`, 0)).toBeUndefined()
    for (let n = 0; n < 1000; n++) {
      const address = `198.51.${n >> 8}.${n & 255}`
      expect(admission.admit(address, 1)).toBeUndefined()
      admission.settled(address)
    }
    expect(admission.addressesKnown).toBeLessThanOrEqual(10)
    for (let n = 0; n < 4; n++) expect(admission.admit(`192.0.2.${n}`, 2)).toBe("address pending handshakes")
  })

  test("any sequence keeps its promises", () => {
    const step = FastCheck.record({
      address: FastCheck.integer({ min: 0, max: 30 }).map((n) => `192.0.2.${n}`),
      elapsedMs: FastCheck.integer({ min: -5, max: 40 }),
      isSettling: FastCheck.boolean()
    })
    const property = FastCheck.property(FastCheck.array(step, { maxLength: 200 }), (steps) => {
      const options = {
        pendingMax: 6,
        pendingMaxPerAddress: 2,
        addressesMax: 8,
        acceptsPerSecond: 100,
        acceptsBurst: 9
      }
      const admission = limit(options)
      const pending: Array<string> = []
      let nowMs = 0
      for (const { address, elapsedMs, isSettling } of steps) {
        nowMs += elapsedMs
        const settling = isSettling ? pending.shift() : undefined
        if (settling !== undefined) admission.settled(settling)
        else if (admission.admit(address, nowMs) === undefined) pending.push(address)
        expect(admission.pending).toBe(pending.length)
        expect(pending.length).toBeLessThanOrEqual(options.pendingMax)
        expect(pending.filter((each) => each === address).length).toBeLessThanOrEqual(2)
        expect(admission.addressesKnown).toBeLessThanOrEqual(8)
      }
    })
    FastCheck.assert(property, { seed: 4, numRuns: 200 })
  })
})

describe("networks", () => {
  const table: ReadonlyArray<readonly [network: string, address: string, isInside: boolean]> = [
    ["10.0.0.0/8", "10.255.0.1", true],
    ["10.0.0.0/8", "11.0.0.1", false],
    ["10.0.0.0/8", "::ffff:10.1.2.3", true],
    ["192.0.2.128/25", "192.0.2.128", true],
    ["192.0.2.128/25", "192.0.2.127", false],
    ["192.0.2.1", "192.0.2.1", true],
    ["192.0.2.1", "192.0.2.2", false],
    ["0.0.0.0/0", "203.0.113.1", true],
    ["0.0.0.0/0", "2001:db8::1", false],
    ["::/0", "2001:db8::1", true],
    ["2001:db8::/33", "2001:db8:7fff::1", true],
    ["2001:db8::/33", "2001:db8:8000::1", false],
    ["::1", "::1", true],
    ["fe80::/10", "fe80::1%eth0", true],
    ["10.0.0.0/8", "not an address", false],
    ["10.0.0.0/8", "10.0.0", false],
    ["10.0.0.0/8", "", false]
  ]
  test.each(table)("%s contains %s: %p", (network, address, isInside) => {
    expect(new CidrSet(["198.51.100.0/24", network]).contains(address)).toBe(isInside)
  })

  test.each([
    "",
    "10.0.0.0/33",
    "10.0.0/8",
    "::/129",
    "1.2.3.4/",
    "a/8",
    "10.0.0.0/-1",
    "fe80::1%eth0/64",
    "01.2.3.4"
  ])("%p is not a network", (network) => {
    expect(() => new CidrSet([network])).toThrow(CidrError)
  })

  const spellings: ReadonlyArray<readonly [string, string | undefined]> = [
    ["2001:0DB8:0:0:0:0:0:1", "2001:db8::1"],
    ["::", "::"],
    ["1::", "1::"],
    ["1:0:0:2:0:0:0:3", "1:0:0:2::3"],
    ["1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"],
    ["1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"],
    ["::ffff:1.2.3.4", "1.2.3.4"],
    ["1.2.3.4", "1.2.3.4"],
    ["1:2:3:4:5:6:7", undefined],
    ["1::2::3", undefined],
    ["1:2:3:4:5:6:7:8::", undefined],
    ["12345::", undefined],
    ["1.2.3.256", undefined],
    ["1.2.3.4.5", undefined],
    [":1", undefined]
  ]
  test.each(spellings)("%s is spelt %p", (address, canonical) => {
    expect(canonicalAddress(address)).toBe(canonical)
  })

  test("the unit of an address limit", () => {
    expect(limitKey("192.0.2.1")).toBe("192.0.2.1")
    expect(limitKey("::ffff:192.0.2.1")).toBe("192.0.2.1")
    expect(limitKey("2001:db8:1:2:3:4:5:6")).toBe("2001:db8:1:2::/64")
    expect(limitKey("")).toBe("")
  })
})
