/** Attack 33: files of rules that are empty, unreadable, half written or wrong. */

import { afterAll, beforeEach, describe, expect } from "bun:test"
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as BunContext from "@effect/platform-bun/BunContext"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Stream from "effect/Stream"
import type { Authorizer } from "../../../src/auth/Authorizer.ts"
import { aclAuthorizer } from "../../../src/auth/acl/AclFiles.ts"
import { identityOf } from "../../support/credentials.ts"
import { live } from "../../support/effect.ts"

const root = mkdtempSync(join(tmpdir(), "heddle-acl-"))
const directory = join(root, "rules")
const file = join(root, "base.acl")
afterAll(() => rmSync(root, { recursive: true }))

beforeEach(() => {
  rmSync(directory, { recursive: true, force: true })
  mkdirSync(directory)
  write(file, "allow all base\n")
})

const write = (path: string, text: string): void => {
  writeFileSync(`${path}.next`, text)
  renameSync(`${path}.next`, path)
}

const inDirectory = (name: string, text: string): void => write(join(directory, name), text)

const authorizer = aclAuthorizer({ files: [file], directory, every: "1 millis" })

const publishes = (of: Authorizer["Type"], ...topics: ReadonlyArray<string>) =>
  Effect.map(
    Effect.suspend(() => of.permissions(identityOf("ada", "acme"))),
    (permissions) => topics.filter((topic) => permissions.publish(topic, 0, false) === true)
  )

/** Waits until it is so; the test's own timeout fails it otherwise. */
const until = <R>(isSo: Effect.Effect<boolean, unknown, R>): Effect.Effect<void, unknown, R> =>
  Effect.flatMap(isSo, (so) =>
    so ? Effect.void : Effect.zipRight(Effect.delay(Effect.void, 1), until(isSo))
  )

const logged: Array<string> = []
const logger = Logger.replace(
  Logger.defaultLogger,
  Logger.make(({ message }) => logged.push(String(message)))
)
const withFiles = Effect.provide([BunContext.layer, logger])

describe("files of rules", () => {
  live("hold in the order in which they are named, a directory's by their names", () =>
    Effect.gen(function* () {
      inDirectory("b.acl", "deny all base\nallow all x\n")
      inDirectory("a.acl", "deny all x\nallow all y\n")
      inDirectory("c.txt", "allow all z\n")
      inDirectory(".hidden.acl", "allow all z\n")
      expect(yield* publishes(yield* authorizer, "base", "x", "y", "z")).toEqual(["base", "y"])
    }).pipe(withFiles)
  )

  live("attack 33: without rules allow nothing", () =>
    Effect.gen(function* () {
      write(file, "")
      expect(yield* publishes(yield* authorizer, "base", "x")).toEqual([])
    }).pipe(withFiles)
  )

  live("attack 33: that are wrong or missing at the start are an error, which names file and line", () =>
    Effect.gen(function* () {
      write(file, "allow all a\nallow everything\n")
      expect((yield* Effect.flip(authorizer)).message).toBe(
        `${file} has mistakes: ${file}:2: says publish, subscribe or all after allow`
      )
      rmSync(file)
      expect((yield* Effect.flip(authorizer)).message).toBe(`${file} cannot be read`)
      write(file, "")
      rmSync(directory, { recursive: true })
      expect((yield* Effect.flip(authorizer)).message).toBe(`${directory} cannot be read`)
    }).pipe(withFiles)
  )

  live("attack 33: stay in force as they were while one is wrong, and say so once", () =>
    Effect.gen(function* () {
      inDirectory("a.acl", "allow all x\n")
      const rules = yield* authorizer
      logged.length = 0
      for (const text of ["allow all y", "allow all y\nallow\n"]) {
        inDirectory("a.acl", text)
        write(file, "allow all other\n")
        const before = logged.length
        yield* until(Effect.sync(() => logged.length > before))
        expect(yield* publishes(rules, "base", "x", "y", "other")).toEqual(["base", "x"])
      }
      expect(logged.at(-1)).toContain(`${join(directory, "a.acl")}:2:`)
      inDirectory("a.acl", "allow all y\n")
      yield* until(Effect.map(publishes(rules, "other", "y", "x"), (all) => all.join() === "other,y"))
    }).pipe(withFiles)
  )

  live("tell whose rules have changed", () =>
    Effect.gen(function* () {
      inDirectory("a.acl", "[tenant=acme]\nallow all x\n")
      const rules = yield* authorizer
      const changes = yield* Effect.fork(Stream.runCollect(Stream.take(rules.changes ?? Stream.empty, 2)))
      yield* Effect.yieldNow()
      inDirectory("a.acl", "[tenant=acme]\nallow all y\n")
      yield* until(Effect.map(publishes(rules, "y"), ({ length }) => length === 1))
      rmSync(file)
      write(file, "allow all z\n")
      expect([...(yield* Fiber.join(changes))]).toEqual([{ tenant: "acme" }, {}])
    }).pipe(withFiles)
  )

  live("and a client's own rules must both allow", () =>
    Effect.gen(function* () {
      inDirectory("a.acl", "allow all x/#\n")
      const { permissions } = yield* authorizer
      const granted = yield* permissions({
        ...identityOf("ada"),
        rules: [
          { permission: "deny", action: "subscribe", topicFilter: "x/1" },
          { permission: "allow", action: "all", topicFilter: "x/+" },
          { permission: "allow", action: "all", topicFilter: "y" }
        ]
      })
      const topics = ["base", "x", "x/1", "x/2", "x/1/2", "y"]
      expect(topics.filter((topic) => granted.publish(topic, 0, false) === true)).toEqual(["x/1", "x/2"])
      expect(topics.filter((topic) => granted.subscribe(topic, 0, undefined) === true)).toEqual(["x/2"])
      expect(granted.subscribe("x/+", 0, undefined)).toBe(true)
      expect(["x/1", "x/2"].map((topic) => granted.deliver?.(topic))).toEqual([false, true])
    }).pipe(withFiles)
  )
})
