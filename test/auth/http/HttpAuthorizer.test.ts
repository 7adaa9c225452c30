/** [attack 32] A service over HTTP that decides on actions: what it is asked, and that all else means no. */

import { afterAll, beforeEach, describe, expect, test } from "bun:test"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import { Acl } from "../../../src/auth/Acl.ts"
import { type Authorizer, answersTo, type Decision, settleDecisions } from "../../../src/auth/Authorizer.ts"
import { bothAuthorizers } from "../../../src/auth/both.ts"
import { type CachedOptions, cached } from "../../../src/auth/cached.ts"
import { httpAuthorizer } from "../../../src/auth/http/HttpAuthorizer.ts"
import type { HttpServiceOptions } from "../../../src/auth/http/HttpService.ts"
import { identityOf } from "../../support/credentials.ts"
import { live } from "../../support/effect.ts"
import { ManualClock } from "../../support/manualClock.ts"

let answer: () => Response | Promise<Response> = () => new Response()
let asked: Array<unknown> = []
const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  fetch: async (request) => {
    asked.push(await request.json())
    return answer()
  }
})
afterAll(() => server.stop(true))
beforeEach(() => {
  asked = []
})

const options: HttpServiceOptions = {
  url: server.url.href,
  authorization: "",
  timeoutMs: 5000,
  concurrency: 2,
  failuresMax: 3,
  restMs: 10_000
}

const json =
  (value: unknown, status = 200) =>
  () =>
    Response.json(value, { status })
const allow = json({ result: "allow" })
const deny = json({ result: "deny" })

const quietly = <A, E>(self: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.provide(self, Logger.remove(Logger.defaultLogger))

const permissionsOf = (authorizer: Authorizer["Type"]) =>
  Effect.runSync(authorizer.permissions(identityOf("ada", "acme")))

const answerTo = async (decision: Decision) => (await Effect.runPromise(quietly(answersTo([decision]))))[0]

describe("what is asked", () => {
  test("says who, what and where", async () => {
    answer = allow
    const permissions = permissionsOf(httpAuthorizer(options))
    const client = { tenant: "acme", principal: "ada", clientId: "client" }
    expect(await answerTo(permissions.publish("a/b", 1, true))).toBe(true)
    expect(await answerTo(permissions.subscribe("a/#", 2, "g"))).toBe(true)
    expect(asked).toEqual([
      { ...client, action: "publish", topic: "a/b", qos: 1, retain: true },
      { ...client, action: "subscribe", topic: "a/#", qos: 2, group: "g" }
    ])
  })

  const rows: ReadonlyArray<readonly [name: string, answer: () => Response, allowed: boolean | undefined]> = [
    ["that allows", allow, true],
    ["that denies", deny, false],
    ["of another form", json({ allowed: true }), undefined],
    ["of just yes", json(true), undefined],
    ["of nothing", () => new Response(), undefined],
    ["that is no JSON", () => new Response("allow"), undefined],
    ["that allows by an error", json({ result: "allow" }, 500), undefined],
    ["from elsewhere", () => Response.redirect(server.url.href), undefined]
  ]
  test.each(rows)("an answer %s", async (_name, response, allowed) => {
    answer = response
    const { publish } = permissionsOf(httpAuthorizer(options))
    expect(await answerTo(publish("a", 0, false))).toBe(allowed)
    const [settled] = await Effect.runPromise(quietly(settleDecisions([publish("a", 0, false)])))
    expect(settled).toBe(allowed === true)
  })

  test("is not asked of a service that has failed again and again", async () => {
    answer = json({}, 500)
    const { publish } = permissionsOf(httpAuthorizer(options))
    for (let time = 0; time < 5; time++) expect(await answerTo(publish("a", 0, false))).toBeUndefined()
    expect(asked.length).toBe(3)
  })

  live("is bounded in number", () =>
    Effect.gen(function* () {
      const held = yield* Deferred.make<void>()
      answer = () => Effect.runPromise(Effect.map(Deferred.await(held), allow))
      const { publish } = permissionsOf(httpAuthorizer(options))
      const asking = yield* Effect.fork(answersTo([publish("a", 0, false), publish("b", 0, false)]))
      while (asked.length < 2) yield* Effect.yieldNow()
      expect(yield* answersTo([publish("c", 0, false)])).toEqual([undefined])
      yield* Deferred.succeed(held, undefined)
      expect((yield* Fiber.join(asking))[0]).toBe(true)
    })
  )
})

describe("answers that are kept", () => {
  const clock = new ManualClock()
  const terms: CachedOptions = { allowedTtlMs: 1000, refusedTtlMs: 100, sizeMax: 2 }
  const keeping = (over: Partial<CachedOptions> = {}) =>
    Effect.runSync(Effect.withClock(cached(httpAuthorizer(options), { ...terms, ...over }), clock))
  const ask = (decision: Decision) => answerTo(decision)

  test("are given at once, for a while", async () => {
    answer = allow
    const { publish } = permissionsOf(keeping())
    expect(await ask(publish("a", 0, false))).toBe(true)
    expect(publish("a", 0, false)).toBe(true)
    clock.advance(1001)
    expect(publish("a", 0, false)).not.toBe(true)
  })

  test("a no for another while", async () => {
    answer = deny
    const { subscribe } = permissionsOf(keeping())
    await ask(subscribe("a", 0, undefined))
    expect(subscribe("a", 0, undefined)).toBe(false)
    clock.advance(101)
    expect(subscribe("a", 0, undefined)).not.toBe(false)
  })

  test("no answer is not one", async () => {
    answer = json({}, 500)
    const { publish } = permissionsOf(keeping())
    await ask(publish("a", 0, false))
    answer = allow
    expect(await ask(publish("a", 0, false))).toBe(true)
    expect(asked.length).toBe(2)
  })

  test("are those to the very same question", async () => {
    answer = allow
    const permissions = permissionsOf(keeping({ sizeMax: 100 }))
    await ask(permissions.publish("a", 0, false))
    await ask(permissions.subscribe("a", 0, undefined))
    const others = [
      permissions.publish("a", 1, false),
      permissions.publish("a", 0, true),
      permissions.publish("b", 0, false),
      permissions.subscribe("a", 0, "undefined"),
      permissions.subscribe("a", 1, undefined),
      Effect.runSync(keeping().permissions(identityOf("eve", "acme"))).publish("a", 0, false)
    ]
    expect(others.filter((decision) => typeof decision === "boolean")).toEqual([])
  })

  test("are so many at most", async () => {
    answer = allow
    const { publish } = permissionsOf(keeping())
    for (const topic of ["a", "b", "c"]) await ask(publish(topic, 0, false))
    expect(["a", "b", "c"].map((topic) => publish(topic, 0, false) === true)).toEqual([false, true, true])
  })

  test("are forgotten when asked to, those under way as well", async () => {
    answer = allow
    const authorizer = keeping()
    const { publish } = permissionsOf(authorizer)
    await ask(publish("a", 0, false))
    const late = publish("b", 0, false)
    authorizer.forget?.()
    await ask(late)
    expect(["a", "b"].map((topic) => publish(topic, 0, false) === true)).toEqual([false, false])
  })
})

test("with rules before it, the service is asked only for what they allow", async () => {
  answer = deny
  const rules: Authorizer["Type"] = {
    permissions: () => Effect.succeed(new Acl([{ permission: "allow", action: "all", topicFilter: "a/#" }]))
  }
  const { publish, subscribe } = permissionsOf(bothAuthorizers(rules, httpAuthorizer(options)))
  expect(publish("b", 0, false)).toBe(false)
  expect(subscribe("#", 0, undefined)).toBe(false)
  expect(asked).toEqual([])
  expect(await answerTo(publish("a", 0, false))).toBe(false)
  answer = allow
  expect(await answerTo(publish("a", 0, false))).toBe(true)
})
