import { describe, expect, test } from "bun:test"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import {
  applyOverrides,
  decodeOverrides,
  encodeOverrides,
  type SettingOverrides
} from "../../../src/tenant/settings/overrides.ts"
import {
  defaultTenantSettings,
  settingNames,
  settingsTable,
  type TenantSettings
} from "../../../src/tenant/TenantSettings.ts"

const problems = (given: unknown): ReadonlyArray<string> => {
  const decoded = decodeOverrides(given)
  return Either.isLeft(decoded) ? decoded.left.map(({ key, message }) => `${key}: ${message}`) : []
}

describe("overrides", () => {
  test("are read as a person writes them", () => {
    const given = {
      queueBytesMax: "1MB",
      sessionExpiryIntervalMax: "never",
      keepAliveMax: "10m",
      mqtt31: false
    }
    expect(decodeOverrides(given)).toEqual(
      Either.right({
        queueBytesMax: 1024 * 1024,
        sessionExpiryIntervalMax: 0xffff_ffff,
        keepAliveMax: 600,
        mqtt31: false
      })
    )
  })

  const refused: ReadonlyArray<readonly [name: string, given: unknown, problems: ReadonlyArray<string>]> = [
    ["nothing", null, ["settings: is no set of settings"]],
    ["a list", [1], ["settings: is no set of settings"]],
    ["an unknown name", { publishRat: 1 }, ["publishRat: unknown setting; did you mean publishRate?"]],
    [
      "a name of every object",
      JSON.parse('{ "__proto__": 1, "toString": 1 }'),
      [
        "__proto__: unknown setting; see the manual for the names",
        "toString: unknown setting; see the manual for the names"
      ]
    ],
    [
      "values that are not allowed, all at once",
      { publishRate: -1, queuePolicy: "drop", weight: 0 },
      [
        "publishRate: -1 is not allowed; expected a whole number from 0 to 1000000000",
        'queuePolicy: "drop" is not allowed; expected one of drop-oldest, drop-newest, disconnect',
        "weight: 0 is not allowed; expected a whole number from 1 to 1000"
      ]
    ],
    [
      "a shortest above the longest",
      { keepAliveMin: 20, keepAliveMax: 10 },
      ["keepAliveMin: 20 is more than keepAliveMax, 10"]
    ],
    [
      "a value that is not there",
      { weight: undefined },
      ["weight: undefined is not allowed; expected a whole"]
    ]
  ]
  for (const [name, given, expected] of refused) {
    test(`${name} is refused`, () => {
      const found = problems(given)
      expect(found).toHaveLength(expected.length)
      for (const [index, problem] of expected.entries()) expect(found[index]).toStartWith(problem)
    })
  }

  test("of every setting's default are the defaults", () => {
    const written = encodeOverrides(defaultTenantSettings)
    expect(Object.keys(written)).toEqual([...settingNames])
    expect(decodeOverrides(written)).toEqual(Either.right(defaultTenantSettings))
  })

  test("are read back as they were", () => {
    const overrides = FastCheck.record(
      {
        publishRate: FastCheck.nat(1_000_000_000),
        queueBytesMax: FastCheck.nat(1_000_000_000),
        sessionExpiryIntervalMax: FastCheck.integer({ min: 0, max: 0xffff_ffff }),
        queuePolicy: FastCheck.constantFrom(...(["drop-oldest", "drop-newest", "disconnect"] as const)),
        maximumQos: FastCheck.constantFrom(0 as const, 1 as const, 2 as const),
        forceTransient: FastCheck.boolean()
      },
      { requiredKeys: [] }
    )
    FastCheck.assert(
      FastCheck.property(overrides, (given) => {
        expect(decodeOverrides(encodeOverrides(given))).toEqual(Either.right(given))
      }),
      { seed: 20261122 }
    )
  })

  test("stand over the base, which stays as it is", () => {
    const base: TenantSettings = { ...defaultTenantSettings, weight: 3 }
    const overrides: SettingOverrides = { publishRate: 5, maximumQos: 0 }
    expect(applyOverrides(base, overrides)).toEqual({ ...base, publishRate: 5, maximumQos: 0 })
    expect(base).toEqual({ ...defaultTenantSettings, weight: 3 })
  })
})

describe("the table", () => {
  test.each([...settingNames])("%s allows its default and nothing of another kind", (name) => {
    expect(
      decodeOverrides({ [name]: encodeOverrides({ [name]: settingsTable[name].default })[name] })
    ).toEqual(Either.right({ [name]: settingsTable[name].default }))
    for (const nonsense of [null, {}, [], "nonsense", Number.NaN, -1, 1e300, 0.5])
      expect(problems({ [name]: nonsense })).toHaveLength(1)
  })
})
