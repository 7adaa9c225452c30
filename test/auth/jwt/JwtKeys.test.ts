/** Keys behind a URL: when they are fetched, how often at most, and what holds while they cannot be. */

import { afterAll, describe, expect } from "bun:test"
import { generateKeyPairSync } from "node:crypto"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import { type KeyUrlOptions, keysOfUrl } from "../../../src/auth/jwt/JwtKeys.ts"
import { live } from "../../support/effect.ts"
import { ManualClock } from "../../support/manualClock.ts"

const jwk = generateKeyPairSync("ed25519").publicKey.export({ format: "jwk" })
const setOf = (...kids: ReadonlyArray<string>): string =>
  JSON.stringify({ keys: kids.map((kid) => ({ ...jwk, kid })) })

/** A server that says what the test wants, and counts how often. */
let answer: () => Response | Promise<Response> = () => new Response()
let asked = 0
const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  fetch: () => {
    asked++
    return answer()
  }
})
afterAll(() => server.stop(true))

const clock = new ManualClock()

const keyUrl = (options: Partial<KeyUrlOptions> = {}) => {
  asked = 0
  return keysOfUrl({
    url: server.url.href,
    algorithm: "EdDSA",
    refreshMs: 600_000,
    intervalMs: 30_000,
    timeoutMs: 5000,
    ...options
  }).pipe(
    Effect.map((keys) => (kid: string) => Effect.map(keys(kid), (found) => found?.length ?? "none")),
    Effect.withClock(clock)
  )
}

const quietly = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  self.pipe(Effect.provide(Logger.remove(Logger.defaultLogger)), Effect.withClock(clock))

describe("keys behind a URL", () => {
  live("are fetched once for many, and again when they are old", () =>
    Effect.gen(function* () {
      const keys = yield* keyUrl()
      answer = () => new Response(setOf("a"))
      const many = Array.from({ length: 20 }, () => keys("a"))
      expect(new Set(yield* Effect.all(many, { concurrency: "unbounded" }))).toEqual(new Set([1]))
      expect(asked).toBe(1)
      clock.advance(600_000)
      expect(yield* keys("a")).toBe(1)
      expect(asked).toBe(2)
    }).pipe(quietly)
  )

  live("are fetched for a key that is not known, but not for each that somebody makes up", () =>
    Effect.gen(function* () {
      const keys = yield* keyUrl()
      answer = () => new Response(setOf("a"))
      yield* keys("a")
      clock.advance(30_000)
      answer = () => new Response(setOf("a", "b"))
      expect(yield* keys("b")).toBe(1)
      for (const kid of ["c", "d", "e"]) expect(yield* keys(kid)).toBe(0)
      expect(asked).toBe(2)
      clock.advance(30_000)
      expect(yield* keys("c")).toBe(0)
      expect(asked).toBe(3)
    }).pipe(quietly)
  )

  const unusable: ReadonlyArray<readonly [name: string, answer: () => Response]> = [
    ["fails", () => new Response("", { status: 500 })],
    ["says nonsense", () => new Response("<html>")],
    ["has no key for us", () => new Response(JSON.stringify({ keys: [{ kty: "RSA" }] }))],
    ["leads elsewhere", () => Response.redirect(`${server.url.href}keys`)],
    ["does not end", () => new Response(" ".repeat(2 * 1024 * 1024) + setOf("a"))]
  ]
  for (const [name, bad] of unusable) {
    live(`are none while the URL ${name}, and the last good ones for a day`, () =>
      Effect.gen(function* () {
        const keys = yield* keyUrl()
        answer = bad
        expect(yield* keys("a")).toBe("none")
        expect(yield* keys("a")).toBe("none")
        expect(asked).toBe(1)
        clock.advance(30_000)
        answer = () => new Response(setOf("a"))
        expect(yield* keys("a")).toBe(1)
        answer = bad
        clock.advance(600_000)
        expect(yield* keys("a")).toBe(1)
        clock.advance(86_400_000)
        expect(yield* keys("a")).toBe("none")
      }).pipe(quietly)
    )
  }

  live("are none when the URL does not answer in time", () =>
    Effect.gen(function* () {
      const keys = yield* keyUrl({ timeoutMs: 20 })
      answer = () => new Promise<Response>(() => undefined)
      expect(yield* keys("a").pipe(Effect.provide(Logger.remove(Logger.defaultLogger)))).toBe("none")
    })
  )

  live("are no secrets", () =>
    Effect.gen(function* () {
      const keys = yield* keyUrl({ algorithm: "HS256" })
      answer = () =>
        new Response(JSON.stringify({ keys: [{ kty: "oct", k: Buffer.alloc(32).toString("base64url") }] }))
      expect(yield* keys("a")).toBe("none")
    }).pipe(quietly)
  )
})
