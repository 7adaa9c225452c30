/** `heddle acl`: what is wrong with files of rules, what they allow, and what they would take. */

import { afterAll, describe, expect, spyOn, test } from "bun:test"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as BunContext from "@effect/platform-bun/BunContext"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { aclCommand } from "../../src/cli/acl.ts"
import { type Ask, BrokerUnreachable, type Target } from "../../src/cli/control.ts"
import { aclRoutes } from "../../src/control/aclRoutes.ts"
import { type TestBroker, withBroker } from "../support/testBroker.ts"

const directory = mkdtempSync(join(tmpdir(), "heddle-acl-"))
afterAll(() => rmSync(directory, { recursive: true }))

const file = (name: string, ...lines: ReadonlyArray<string>): string => {
  const path = join(directory, name)
  writeFileSync(path, lines.map((line) => `${line}\n`).join(""))
  return path
}

const rules = file(
  "rules.acl",
  "allow all public/#",
  "[tenant=acme user=ada]",
  `allow publish sensors/\${clientId}/# qos=0,1 retain=no`,
  "deny subscribe secrets/#",
  "allow subscribe jobs/# shared=workers",
  `allow subscribe \${cert.cn}/#`
)
const wrong = file("wrong.acl", "allow everything", "allow all a#")

/** Asks that broker, without a socket. */
const targetOf = (broker: TestBroker | undefined): Target<never> => ({
  config: Options.text("config").pipe(Options.optional),
  broker: () => {
    const [route] = broker === undefined ? [] : aclRoutes(broker.broker.administration)
    if (route === undefined) return new BrokerUnreachable({ reason: "no broker runs here" })
    const ask: Ask = ({ body }, answer) =>
      route
        .handle({ params: new Map(), query: new URLSearchParams(), body })
        .pipe(Effect.flatMap((value) => Effect.orDie(Schema.decodeUnknown(answer)(structuredClone(value)))))
    return Effect.succeed(ask)
  }
})

/** What it prints, or what it fails with. */
const acl = async (args: ReadonlyArray<string>, broker?: TestBroker): Promise<string> => {
  const lines: Array<string> = []
  const log = spyOn(console, "log").mockImplementation((line: string) => {
    lines.push(line)
  })
  const cli = Command.run(aclCommand(targetOf(broker)), { name: "acl", version: "1" })
  try {
    const exit = await Effect.runPromiseExit(
      cli(["bun", "acl", ...args]).pipe(Effect.provide(BunContext.layer))
    )
    if (Exit.isSuccess(exit)) return lines.join("\n")
    const failure = Option.getOrUndefined(Cause.failureOption(exit.cause))
    return `! ${failure instanceof Error ? failure.message : Cause.pretty(exit.cause)}`
  } finally {
    log.mockRestore()
  }
}

describe("heddle acl check", () => {
  test("says that files are good", async () => {
    expect(await acl(["check", rules])).toBe(`${rules}: ok, 5 rules`)
  })

  test("says everything that is wrong", async () => {
    const told = await acl(["check", rules, wrong])
    expect(told).toStartWith("! ")
    expect(told).toContain(`${wrong}:1: says publish, subscribe or all after allow`)
    expect(told).toContain(`${wrong}:2: the filter # is not a whole level or not the last one`)
  })
})

describe("heddle acl test", () => {
  const ada = ["--tenant", "acme", "--user", "ada", "--client", "c1"]
  const line = (number: number, text: string) => `${rules}:${number}: ${text}`
  const rows: ReadonlyArray<readonly [args: ReadonlyArray<string>, told: string]> = [
    [[rules, "publish", "public/a"], `allowed by ${line(1, "allow all public/#")}`],
    [
      [...ada, rules, "publish", "sensors/c1/t"],
      `allowed by ${line(3, `allow publish sensors/\${clientId}/# qos=0,1 retain=no`)}`
    ],
    [[...ada, rules, "publish", "sensors/c2/t"], "! denied: no rule allows it"],
    [[...ada, "--qos", "2", rules, "publish", "sensors/c1/t"], "! denied: no rule allows it"],
    [[...ada, "--retain", rules, "publish", "sensors/c1/t"], "! denied: no rule allows it"],
    [[rules, "publish", "sensors/client/t"], "! denied: no rule allows it"],
    [[...ada, rules, "subscribe", "secrets/a"], `! denied by ${line(4, "deny subscribe secrets/#")}`],
    [
      [...ada, rules, "subscribe", "$share/workers/jobs/+"],
      `allowed by ${line(5, "allow subscribe jobs/# shared=workers")}`
    ],
    [[...ada, rules, "subscribe", "jobs/+"], "! denied: no rule allows it"],
    [
      [...ada, "--cert-cn", "dev", rules, "subscribe", "dev/+"],
      `allowed by ${line(6, `allow subscribe \${cert.cn}/#`)}`
    ],
    [[rules, "publish", "a/#"], "! a topic name contains a wildcard"],
    [[rules, "subscribe", "a#"], "! the filter # is not a whole level or not the last one"]
  ]
  test.each(rows)("%j", async (args, told) => {
    expect(await acl(["test", ...args])).toBe(told)
  })
})

describe("heddle acl diff", () => {
  test("says who would lose what, and where that stands", () =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({ clientId: "c1" })
      await client.subscribe("public/a", "secrets/b")
      const strict = file("strict.acl", "deny subscribe secrets/#", "allow all public/#")
      expect((await acl(["diff", strict], broker)).split("\n").map((row) => row.split(/ {2,}/))).toEqual([
        ["what", "client", "user", "topic", "because of"],
        ["subscribe", "c1", "anonymous", "secrets/b", "strict.acl:1"],
        ["1 would be lost (1 session and 0 retained messages looked at)"]
      ])
      expect(await acl(["diff", file("open.acl", "allow all #")], broker)).toBe(
        "nothing would be lost (1 session and 0 retained messages looked at)"
      )
      expect(JSON.parse(await acl(["diff", "--json", strict], broker)).lost).toBe(1)
    }))

  test("says what is wrong with the rules, and that there is nobody to ask", () =>
    withBroker({}, async (broker) => {
      await broker.connect({})
      expect(await acl(["diff", wrong], broker)).toBe("! these are no access rules")
      expect(await acl(["diff", "--tenant", "nobody", rules], broker)).toBe(
        "! no client of tenant nobody has come yet"
      )
      expect(await acl(["diff", rules])).toBe("! no broker runs here")
    }))
})
