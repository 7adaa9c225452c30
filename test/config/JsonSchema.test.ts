import { describe, expect, test } from "bun:test"
import { join } from "node:path"
import * as Either from "effect/Either"
import { configurationYaml } from "../../src/config/ConfigText.ts"
import { configurationJsonSchema } from "../../src/config/JsonSchema.ts"
import { fixedLeaves, listenerLeaves, tenantLeaves } from "../../src/config/Keys.ts"
import { resolve } from "../../src/config/Resolution.ts"
import { violationsOf } from "../support/jsonSchema.ts"

const schema = configurationJsonSchema()

const violations = (content: unknown) => violationsOf(schema, content)

describe("the JSON Schema of the configuration file", () => {
  test("is JSON", () => {
    expect(JSON.parse(JSON.stringify(schema))).toEqual(schema)
  })

  test("allows every example of the README", async () => {
    const readme = await Bun.file(join(import.meta.dir, "../../README.md")).text()
    const examples = [...readme.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text]) => Bun.YAML.parse(text!))
    expect(examples.length).toBeGreaterThan(0)
    for (const example of examples) expect(violations(example)).toEqual([])
  })

  test("allows what `heddle config` prints", () => {
    const content = {
      listeners: { tcp: null, wss: { tls: { cert: "c.pem", key: "k.pem" }, origins: ["https://a.example"] } },
      authentication: { methods: ["jwt"], jwt: { file: "keys.json" } },
      tenants: { acme: { publishRate: 5, queueBytesMax: "1MB" }, "shop.example": null }
    }
    const { entries } = Either.getOrThrow(resolve({ file: { name: "heddle.yaml", content }, env: {} }))
    expect(violations(Bun.YAML.parse(configurationYaml(entries)))).toEqual([])
  })

  test("allows every default, and knows what every key is", () => {
    for (const { facts, path } of [...fixedLeaves, ...listenerLeaves, ...tenantLeaves]) {
      expect([path, Object.keys(facts.json).length > 0]).toEqual([path, true])
      if (facts.default !== undefined)
        expect([path, violationsOf(facts.json, facts.default)]).toEqual([path, []])
    }
  })

  const refused: ReadonlyArray<readonly [name: string, content: unknown, violations: ReadonlyArray<string>]> =
    [
      ["a section that does not exist", { limit: {} }, ["/limit: additionalProperties"]],
      [
        "a key that does not exist",
        { limits: { packetBytes: 1 } },
        ["/limits/packetBytes: additionalProperties"]
      ],
      ["a setting that does not exist", { tenants: { acme: { publishRat: 1 } } }, ["/tenants/acme: anyOf"]],
      ["a listener's name", { listeners: { TCP: {} } }, ["/listeners/TCP: pattern"]],
      ["a number out of range", { session: { weight: 0 } }, ["/session/weight: minimum"]],
      ["a fraction", { session: { weight: 1.5 } }, ["/session/weight: type"]],
      ["a word", { log: { level: "loud" } }, ["/log/level: enum"]],
      ["a duration without its unit", { shutdown: { drain: 10 } }, ["/shutdown/drain: type"]],
      ["a size of no unit", { storage: { bytesMax: "1XB" } }, ["/storage/bytesMax: anyOf"]],
      [
        "a method twice",
        { authentication: { methods: ["jwt", "jwt"] } },
        ["/authentication/methods: uniqueItems"]
      ]
    ]
  for (const [name, content, expected] of refused) {
    test(`refuses ${name}`, () => {
      expect(violations(content)).toEqual(expected)
    })
  }
})
