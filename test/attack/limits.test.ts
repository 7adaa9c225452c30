/** Attacks on limits: row 38 of the attack table. */

import { describe, expect, test } from "bun:test"
import * as Either from "effect/Either"
import { Rate, TokenBucket } from "../../src/tenant/quota/TokenBucket.ts"
import { decodeOverrides } from "../../src/tenant/settings/overrides.ts"
import { defaultTenantSettings, settingNames } from "../../src/tenant/TenantSettings.ts"

const numbers = settingNames.filter((name) => typeof defaultTenantSettings[name] === "number")

describe("[attack 38] limits that are no numbers to reckon with", () => {
  test("there are limits", () => expect(numbers.length).toBeGreaterThan(50))

  const wrong = [
    Number.NaN,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    -1,
    0.5,
    1e300,
    "NaN",
    {},
    []
  ]
  test.each([...numbers])("are refused for %s", (name) => {
    for (const value of wrong) {
      expect({ value, isLeft: Either.isLeft(decodeOverrides({ [name]: value })) }).toEqual({
        value,
        isLeft: true
      })
    }
  })

  test("a rate of 0 does not limit, and divides by nothing", () => {
    const rate = new Rate("publishRate")
    const bucket = new TokenBucket(rate)
    for (const [perSecond, burstSeconds] of [
      [0, 1],
      [5, 1],
      [0, 3600]
    ] as const) {
      rate.set(perSecond, burstSeconds)
      bucket.take(1000, 1000)
      const readyAtMs = bucket.readyAtMs(1000)
      expect(Number.isFinite(readyAtMs)).toBe(true)
      expect(bucket.isInDebt(1000)).toBe(perSecond > 0)
    }
  })
})
