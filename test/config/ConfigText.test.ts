import { describe, expect, test } from "bun:test"
import { join } from "node:path"
import * as Either from "effect/Either"
import {
  configurationTable,
  configurationYaml,
  settingsTables,
  withGeneratedParts
} from "../../src/config/ConfigText.ts"
import { fixedLeaves, listenerLeaves, tenantLeaves } from "../../src/config/Keys.ts"
import { resolve } from "../../src/config/Resolution.ts"
import { settingNames } from "../../src/tenant/TenantSettings.ts"

const content = {
  listeners: {
    ws: { origins: ["https://example.com"] },
    unix: { path: "/run/heddle.sock" },
    tls: {
      tls: { cert: "c.pem", key: "k.pem", sni: [{ names: ["*.example.com"], cert: "d.pem", key: "l.pem" }] }
    }
  },
  limits: { packetBytesMax: "2MB" },
  session: { sessionExpiryIntervalMax: "never", queuePolicy: "disconnect" },
  tenants: { acme: null, "shop.example": { state: "suspended", queueBytesMax: "1MB" } }
}

const env = {
  HEDDLE_LOG_LEVEL: "debug",
  HEDDLE_LISTENERS_TLS_TLS_PASSPHRASE: "hunter2",
  HEDDLE_AUTHENTICATION_JWT_SECRET: "hunter2"
}

const { entries } = Either.getOrThrow(resolve({ file: { name: "heddle.yaml", content }, env }))

describe("`heddle config`", () => {
  const yaml = configurationYaml(entries)

  test("prints a file that says the same", () => {
    const again = Either.getOrThrow(
      resolve({ file: { name: "again.yaml", content: Bun.YAML.parse(yaml) }, env })
    )
    const values = (from: typeof entries) => [...from].map(([key, { value }]) => [key, value])
    expect(values(again.entries)).toEqual(values(entries))
  })

  test("says where each value that is no default comes from", () => {
    expect(yaml.match(/^.*#.*$/gm)).toEqual([
      '    origins: ["https://example.com"] # heddle.yaml',
      "    path: /run/heddle.sock # heddle.yaml",
      "      cert: c.pem # heddle.yaml",
      "      key: k.pem # heddle.yaml",
      '      passphrase: "<redacted>" # HEDDLE_LISTENERS_TLS_TLS_PASSPHRASE',
      '      sni: [{"names":["*.example.com"],"cert":"d.pem","key":"l.pem"}] # heddle.yaml',
      '    secret: "<redacted>" # HEDDLE_AUTHENTICATION_JWT_SECRET',
      "  packetBytesMax: 2MB # heddle.yaml",
      "  sessionExpiryIntervalMax: never # heddle.yaml",
      "  queuePolicy: disconnect # heddle.yaml",
      "  level: debug # HEDDLE_LOG_LEVEL",
      "    state: suspended # heddle.yaml",
      "    queueBytesMax: 1MB # heddle.yaml"
    ])
  })

  test("does not print secrets", () => {
    expect(yaml).not.toContain("hunter2")
  })
})

describe("the tables of all keys", () => {
  const leaves = [...listenerLeaves, ...fixedLeaves, ...tenantLeaves]

  test("have a row for each", () => {
    const settings = settingNames.map((name) => `\`${name}\``)
    const others = leaves
      .filter(({ path }) => !settings.includes(`\`${path.replace("session.", "")}\``))
      .map(
        ({ path }) => `${listenerLeaves.some((leaf) => leaf.path === path) ? "listeners.NAME." : ""}${path}`
      )
      .map((key) => `\`${key === "state" ? "tenants.NAME.state" : key}\``)
    const keysOf = (table: string) => [...table.matchAll(/^\| (`[^`]+`)/gm)].map(([, key]) => key!)
    expect(keysOf(configurationTable())).toEqual(others)
    expect(keysOf(settingsTables())).toEqual(settings)
  })

  test("have a meaning and a default, or a reason why there is none", () => {
    expect(leaves.filter(({ facts }) => facts.description === "").map(({ path }) => path)).toEqual([])
    expect(fixedLeaves.filter(({ facts }) => facts.default === undefined).map(({ path }) => path)).toEqual([])
  })

  test("stand in the README as they are; else `bun test/config/writeManual.ts` mends it", async () => {
    const readme = await Bun.file(join(import.meta.dir, "../../README.md")).text()
    expect(readme).toBe(withGeneratedParts(readme))
    expect(readme).toContain(configurationTable())
    expect(readme).toContain(settingsTables())
  })
})
