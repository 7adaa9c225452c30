import { afterAll, describe, expect, test } from "bun:test"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { loadConfig } from "../../src/config/Config.ts"
import { run } from "../support/effect.ts"

const directory = mkdtempSync(join(tmpdir(), "heddle-config-"))
afterAll(() => rmSync(directory, { recursive: true }))

const load = async (name: string, text: string | undefined) => {
  const file = join(directory, name)
  if (text !== undefined) await Bun.write(file, text)
  return run(Effect.either(loadConfig({ file: Option.some(file), env: {} })))
}

describe("a configuration file", () => {
  const same: ReadonlyArray<readonly [name: string, text: string]> = [
    ["a.yaml", "log: { level: debug }\nlisteners:\n  tcp:\n    port: 1884\n"],
    ["a.yml", "log:\n  level: debug\nlisteners: { tcp: { port: 1884 } }\n"],
    ["a.json", '{"log": {"level": "debug"}, "listeners": {"tcp": {"port": 1884}}}'],
    ["a.toml", '[log]\nlevel = "debug"\n[listeners.tcp]\nport = 1884\n']
  ]
  for (const [name, text] of same) {
    test(`can be ${name.slice(2).toUpperCase()}`, async () => {
      const config = Either.getOrThrow(await load(name, text))
      expect(config.log.level).toBe("debug")
      expect(config.listeners.tcp?.port).toBe(1884)
    })
  }

  const broken: ReadonlyArray<readonly [name: string, text: string | undefined, message: string]> = [
    ["missing.yaml", undefined, "cannot be read"],
    ["broken.yaml", "log: [1\nlevel: 2", "cannot be read: YAML"],
    ["broken.json", "{", "cannot be read: JSON"],
    ["broken.toml", "log = [1\n", "cannot be read: TOML"],
    ["heddle.conf", "", "is not a configuration file; expected .yaml, .yml, .json, .toml"]
  ]
  for (const [name, text, message] of broken) {
    test(`${name} is refused, by name`, async () => {
      const result = await load(name, text)
      expect(Either.isLeft(result) && result.left.problems).toEqual([
        { key: join(directory, name), message: expect.stringContaining(message) }
      ])
    })
  }
})
