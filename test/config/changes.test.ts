import { describe, expect, test } from "bun:test"
import * as Either from "effect/Either"
import { changesBetween, hasChanged, inForce, isLiveKey } from "../../src/config/changes.ts"
import { fixedLeaves } from "../../src/config/Keys.ts"
import { resolve } from "../../src/config/Resolution.ts"

const entriesOf = (content: unknown) =>
  Either.getOrThrow(resolve({ file: { name: "heddle.yaml", content }, env: {} })).entries

const between = (before: unknown, after: unknown) => changesBetween(entriesOf(before), entriesOf(after))

const cases: ReadonlyArray<
  readonly [name: string, before: unknown, after: unknown, texts: ReadonlyArray<string>]
> = [
  ["nothing", {}, null, []],
  [
    "what is written in another way",
    { session: { queueBytesMax: "1MB", keepAliveMax: 60 }, shutdown: { drain: "1000ms" } },
    { session: { queueBytesMax: 1_048_576, keepAliveMax: "1m" }, shutdown: { drain: "1s" } },
    []
  ],
  [
    "a default that is said",
    {},
    { session: { queuePolicy: "drop-oldest" }, listeners: { tcp: { port: 1883 }, ws: {} } },
    []
  ],
  [
    "values",
    { session: { queuePolicy: "disconnect" } },
    { limits: { packetBytesMax: "2MB" } },
    ['limits.packetBytesMax: "1MB" -> "2MB"', 'session.queuePolicy: "disconnect" -> "drop-oldest"']
  ],
  [
    "a secret",
    { authentication: { jwt: { secret: "a" } } },
    { authentication: { jwt: { secret: "b" } } },
    ["authentication.jwt.secret: <redacted> -> <redacted>"]
  ],
  [
    "a secret that was none",
    {},
    { authentication: { jwt: { secret: "b" } } },
    ['authentication.jwt.secret: "" -> <redacted>']
  ],
  [
    "listeners that come and go",
    { listeners: { tcp: {}, ws: {} } },
    { listeners: { tcp: { port: 1884 }, unix: { path: "/run/heddle.sock" } } },
    ["listeners.tcp.port: 1883 -> 1884", "listeners.unix added", "listeners.ws removed"]
  ],
  [
    "tenants that come, change and go",
    { tenants: { "shop.example": { weight: 2 }, acme: { weight: 2, publishRate: 5 }, old: {} } },
    { tenants: { "shop.example": { state: "suspended" }, acme: { weight: 3 }, new: null } },
    [
      'tenants."shop.example".state: "active" -> "suspended"',
      "tenants.acme.weight: 2 -> 3",
      "tenants.new added",
      'tenants."shop.example".weight: 2 -> none',
      "tenants.acme.publishRate: 5 -> none",
      "tenants.old removed"
    ]
  ]
]

describe("changes", () => {
  for (const [name, before, after, texts] of cases) {
    test(`of ${name}`, () => {
      expect(between(before, after).map(({ text }) => text)).toEqual([...texts])
      expect(between(after, before)).toHaveLength(texts.length)
    })
  }

  test("of storage need a restart; until then it is as it was", () => {
    const [before, after] = [entriesOf({}), entriesOf({ storage: { path: "b" }, log: { level: "debug" } })]
    expect(changesBetween(before, after).map(({ key, isLive }) => [key, isLive])).toEqual([
      ["storage.path", false],
      ["log.level", true]
    ])
    const now = inForce(before, after)
    expect(now.get("storage.path")?.value).toBe("data")
    expect(now.get("log.level")?.value).toBe("debug")
    expect([...now.keys()].sort()).toEqual([...after.keys()].sort())
    expect(changesBetween(now, after).map(({ key }) => key)).toEqual(["storage.path"])
  })

  test("of a section are seen in it alone", () => {
    const [before, after] = [entriesOf({}), entriesOf({ authentication: { anonymous: "never" } })]
    expect(hasChanged(before, after, "authentication")).toBe(true)
    expect(hasChanged(before, after, "authentication.guard")).toBe(false)
    expect(hasChanged(before, after, "authorization")).toBe(false)
    expect(
      hasChanged(
        entriesOf({ listeners: { ws: {}, tcp: {} } }),
        entriesOf({ listeners: { ws: {} } }),
        "listeners"
      )
    ).toBe(true)
  })

  test("every key is known to be live or not", () => {
    const fixed = fixedLeaves.map(({ path }) => path).filter((path) => !isLiveKey(path))
    expect(new Set(fixed.map((path) => path.split(".")[0]))).toEqual(
      new Set(["storage", "events", "control", "metrics", "tracing", "log"])
    )
  })
})
