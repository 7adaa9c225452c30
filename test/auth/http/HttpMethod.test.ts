/** [attack 32] A service over HTTP: what its answers mean, how often it is asked, that all else means no. */

import { afterAll, beforeEach, describe, expect, test } from "bun:test"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import { type AuthenticationStep, secretBytes } from "../../../src/auth/Authenticator.ts"
import { CircuitBreaker } from "../../../src/auth/http/CircuitBreaker.ts"
import { type HttpMethodOptions, httpMethod } from "../../../src/auth/http/HttpMethod.ts"
import { credentials, tell, told } from "../../support/credentials.ts"
import { live } from "../../support/effect.ts"
import { ManualClock } from "../../support/manualClock.ts"

let answer: () => Response | Promise<Response> = () => new Response()
let asked: Array<{ readonly body: unknown; readonly authorization: string | null }> = []
const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  fetch: async (request) => {
    asked.push({ body: await request.json(), authorization: request.headers.get("authorization") })
    return answer()
  }
})
afterAll(() => server.stop(true))
beforeEach(() => {
  asked = []
})

const clock = new ManualClock()
const quietly = <A>(self: Effect.Effect<A>): Effect.Effect<A> =>
  self.pipe(Effect.provide(Logger.remove(Logger.defaultLogger)), Effect.withClock(clock))

const options: HttpMethodOptions = {
  url: server.url.href,
  authorization: "Bearer us",
  timeoutMs: 5000,
  concurrency: 2,
  acceptedTtlMs: 0,
  refusedTtlMs: 0,
  cacheSizeMax: 100,
  failuresMax: 3,
  restMs: 10_000
}

type Presented = Parameters<typeof credentials>[0]
const ada: Presented = { username: "ada", password: "secret" }

const asker = (changed: Partial<HttpMethodOptions> = {}) => {
  const method = httpMethod({ ...options, ...changed })
  return (presented: Presented = ada) => quietly(method.authenticate(credentials(presented)))
}

const json =
  (value: unknown, init: ResponseInit = {}) =>
  () =>
    Response.json(value, init)
const allow = json({ result: "allow", principal: "ada", tenant: "acme" })

describe("an answer", () => {
  const rows: ReadonlyArray<readonly [name: string, answer: () => Response, result: string]> = [
    ["that allows", allow, "acme/ada"],
    ["that allows without a tenant", json({ result: "allow", principal: "ada" }), "default/ada"],
    ["that denies", json({ result: "deny" }), "0x86"],
    ["that ignores", json({ result: "ignore" }), "NotMine"],
    ["that allows nobody", json({ result: "allow" }), "0x88"],
    ["that allows no name", json({ result: "allow", principal: "" }), "0x88"],
    ["that allows for ever and a day", json({ result: "allow", principal: "a", validUntil: 1e300 }), "0x88"],
    ["with unsound rules", json({ result: "allow", principal: "a", rules: [{ action: "fly" }] }), "0x88"],
    ["of another form", json({ allowed: true }), "0x88"],
    ["of just yes", json(true), "0x88"],
    ["of nothing", () => new Response(), "0x88"],
    ["that is no JSON", () => new Response("allow"), "0x88"],
    ["that allows by an error", json({ result: "allow", principal: "ada" }, { status: 500 }), "0x88"],
    ["that allows by 201", json({ result: "allow", principal: "ada" }, { status: 201 }), "0x88"],
    ["from elsewhere", () => Response.redirect(server.url.href), "0x88"],
    ["that does not end", () => new Response(" ".repeat(1024 * 1024)), "0x88"]
  ]
  for (const [name, response, result] of rows) {
    test(`${name}: ${result}`, async () => {
      answer = response
      expect(await tell(asker()())).toBe(result)
    })
  }

  test("may say until when, and what the client may do", async () => {
    answer = json({
      result: "allow",
      principal: "ada",
      validUntil: 5,
      rules: [{ action: "all", topicFilter: "a/#" }]
    })
    expect(await Effect.runPromise(asker()())).toEqual({
      _tag: "Accepted",
      tenant: "default",
      principal: "ada",
      validUntilMs: 5000,
      rules: [{ permission: "allow", action: "all", topicFilter: "a/#" }]
    } as AuthenticationStep)
  })
})

describe("the question", () => {
  test("[attack 31] holds what the client presents, as JSON, whatever it is", async () => {
    answer = allow
    const username = 'a","tenant":"b\r\n\u0000'
    await tell(asker()({ username, password: "päss", clientId: "c" }))
    expect(asked).toEqual([
      {
        authorization: "Bearer us",
        body: {
          clientId: "c",
          username,
          password: "päss",
          address: "192.0.2.1",
          listener: "tcp",
          protocolVersion: 5
        }
      }
    ])
  })

  test("is not asked where nothing is presented, or what is no text", async () => {
    const method = httpMethod(options)
    const binary = { ...credentials(ada), password: secretBytes(Uint8Array.of(0xff)) }
    expect(await tell(quietly(method.authenticate(binary)))).toBe("0x86")
    expect(await tell(asker()({}))).toBe("NotMine")
    expect(await tell(asker()({ ...ada, authenticationMethod: "M" }))).toBe("NotMine")
    expect(asked).toEqual([])
  })

  test("is not asked again for what is known, yes and no each for its time", async () => {
    const ask = asker({ acceptedTtlMs: 1000, refusedTtlMs: 100 })
    answer = allow
    expect([await tell(ask()), await tell(ask())]).toEqual(["acme/ada", "acme/ada"])
    expect(asked).toHaveLength(1)
    answer = json({ result: "deny" })
    expect(await tell(ask({ ...ada, password: "other" }))).toBe("0x86")
    clock.advance(99)
    expect(await tell(ask({ ...ada, password: "other" }))).toBe("0x86")
    expect(asked).toHaveLength(2)
    clock.advance(1)
    await tell(ask({ ...ada, password: "other" }))
    expect(asked).toHaveLength(3)
    clock.advance(900)
    expect(await tell(ask())).toBe("0x86")
  })

  test("does not keep that the service could not tell", async () => {
    const ask = asker({ acceptedTtlMs: 1000, refusedTtlMs: 1000 })
    answer = json({}, { status: 503 })
    expect(await tell(ask())).toBe("0x88")
    answer = allow
    expect(await tell(ask())).toBe("acme/ada")
  })
})

describe("a service that fails", () => {
  test("is left alone for a while, then tried once", async () => {
    const ask = asker()
    answer = json({}, { status: 500 })
    for (let round = 0; round < 6; round++) expect(await tell(ask())).toBe("0x88")
    expect(asked).toHaveLength(3)
    clock.advance(10_000)
    expect([await tell(ask()), await tell(ask())]).toEqual(["0x88", "0x88"])
    expect(asked).toHaveLength(4)
    clock.advance(10_000)
    answer = allow
    expect([await tell(ask()), await tell(ask())]).toEqual(["acme/ada", "acme/ada"])
  })

  test("is one that is not there", async () => {
    expect(await tell(asker({ url: "http://127.0.0.1:1/" })())).toBe("0x88")
  })

  live("is one that does not answer in time", () =>
    Effect.gen(function* () {
      answer = () => new Promise<Response>(() => undefined)
      const method = httpMethod({ ...options, timeoutMs: 20 })
      const step = method.authenticate(credentials(ada))
      expect(told(yield* Effect.provide(step, Logger.remove(Logger.defaultLogger)))).toBe("0x88")
    })
  )

  live("has a bounded number of calls under way; clients that leave end theirs", () =>
    Effect.gen(function* () {
      const arrived = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      let calls = 0
      answer = () => {
        const next = arrived[calls++]
        if (next !== undefined) Deferred.unsafeDone(next, Effect.void)
        return new Promise<Response>(() => undefined)
      }
      const method = httpMethod(options)
      const ask = (password: string) => method.authenticate(credentials({ username: "ada", password }))
      const fibers = yield* Effect.forEach(["a", "b"], (password) => Effect.fork(ask(password)))
      yield* Effect.forEach(arrived, Deferred.await)
      expect(told(yield* ask("c"))).toBe("0x89")
      yield* Fiber.interruptAll(fibers)
      answer = allow
      expect(told(yield* ask("c"))).toBe("acme/ada")
    })
  )
})

test("a circuit breaker tries one at a time, also after a trial that came to nothing", () => {
  const breaker = new CircuitBreaker({ failuresMax: 2, restMs: 100 })
  breaker.failed(0)
  breaker.succeeded()
  for (const instant of [0, 1]) {
    expect(breaker.admits(instant)).toBe(true)
    breaker.failed(instant)
  }
  expect([breaker.admits(100), breaker.admits(101), breaker.admits(101)]).toEqual([false, true, false])
  breaker.abandoned()
  expect([breaker.admits(101), breaker.admits(101)]).toEqual([true, false])
  breaker.failed(101)
  expect([breaker.admits(200), breaker.admits(201)]).toEqual([false, true])
  breaker.succeeded()
  expect([breaker.admits(201), breaker.admits(201)]).toEqual([true, true])
})
