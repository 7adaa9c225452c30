/** The chain of methods: who decides, who is asked, and that whatever goes wrong means no. */

import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as TestClock from "effect/TestClock"
import { Authenticator, unknownMethod } from "../../src/auth/Authenticator.ts"
import {
  type AuthenticationMethod,
  anonymousMethod,
  chain,
  methodOf,
  notMine,
  type Verdict,
  wrongCredentials
} from "../../src/auth/Chain.ts"
import { credentials, identityOf, tell, told } from "../support/credentials.ts"
import { effect } from "../support/effect.ts"
import { raw } from "../support/raw.ts"
import { acceptedAs } from "../support/testAuthenticator.ts"
import { withBroker } from "../support/testBroker.ts"

const options = { timeoutMs: 1000 }

/** A method that does as told, and keeps whom it was asked about. */
const method = (name: string, answer: () => unknown, asked: Array<string> = []): AuthenticationMethod => ({
  name,
  authenticate: () => {
    asked.push(name)
    return answer() as Effect.Effect<Verdict>
  }
})

const says = (verdict: unknown) => () => Effect.succeed(verdict)
const bug = (): never => {
  throw new TypeError("a bug")
}

const quietly = <A>(self: Effect.Effect<A>): Effect.Effect<A> =>
  Effect.provide(self, Logger.remove(Logger.defaultLogger))

describe("a chain of methods", () => {
  const rows: ReadonlyArray<
    readonly [name: string, answers: ReadonlyArray<() => unknown>, result: string, asked: number]
  > = [
    ["accepts whom the first accepts", [says(acceptedAs("a")), says(acceptedAs("b"))], "default/a", 1],
    ["asks the next when it is not the first's", [says(notMine), says(acceptedAs("b"))], "default/b", 2],
    ["refuses whom the first refuses", [says(wrongCredentials), says(acceptedAs("b"))], "0x86", 1],
    ["refuses when nobody decides", [says(notMine), says(notMine)], "0x86", 2],
    ["refuses without any method", [], "0x86", 0],
    ["does not go on after a throw", [bug, says(acceptedAs("b"))], "0x88", 1],
    ["does not go on after a defect", [() => Effect.die("a bug"), says(acceptedAs("b"))], "0x88", 1],
    ["does not go on after a failure", [() => Effect.fail("no"), says(acceptedAs("b"))], "0x88", 1],
    ["does not go on after no effect", [() => 7, says(acceptedAs("b"))], "0x88", 1],
    ["does not go on after nothing", [says(undefined), says(acceptedAs("b"))], "0x88", 1],
    ["does not go on after nonsense", [says({ _tag: "Yes" }), says(acceptedAs("b"))], "0x87", 1],
    ["does not go on after nobody", [says({ _tag: "Accepted" }), says(acceptedAs("b"))], "0x87", 1],
    ["judges late answers alike", [() => Effect.promise(async () => ({ _tag: "Yes" }))], "0x87", 1],
    ["waits for late answers", [() => Effect.promise(async () => acceptedAs("a"))], "default/a", 1]
  ]
  for (const [name, answers, result, asked] of rows) {
    test(name, async () => {
      const calls: Array<string> = []
      const authenticator = chain(
        answers.map((answer, index) => method(`${index}`, answer, calls)),
        options
      )
      const step = authenticator.authenticate(credentials({ username: "u", password: "p" }))
      expect(await tell(quietly(step))).toBe(result)
      expect(calls).toHaveLength(asked)
    })
  }

  const nobody: ReadonlyArray<readonly [name: string, presented: Parameters<typeof credentials>[0], string]> =
    [
      ["[MQTT-4.12.0-1] an authentication method", { authenticationMethod: "X", username: "u" }, "0x8c"],
      ["a name", { username: "u" }, "0x86"],
      ["nothing", {}, "0x87"]
    ]
  for (const [name, presented, code] of nobody) {
    test(`${name} that is nobody's is refused with ${code}`, async () => {
      const authenticator = chain([method("m", says(notMine))], options)
      expect(await tell(authenticator.authenticate(credentials(presented)))).toBe(code)
    })
  }

  effect("a method that stalls is a refusal, also when it cannot be interrupted", () =>
    Effect.gen(function* () {
      for (const stall of [Effect.never, Effect.uninterruptible(Effect.never)]) {
        const asked: Array<string> = []
        const methods = [method("slow", () => stall), method("next", says(acceptedAs("b")), asked)]
        const step = yield* Effect.fork(chain(methods, options).authenticate(credentials()))
        yield* TestClock.adjust(1000)
        expect(told(yield* Fiber.join(step))).toBe("0x88")
        expect(asked).toEqual([])
      }
    })
  )

  effect("the answers to its challenges are bounded as well", () =>
    Effect.gen(function* () {
      const challenge = (respond: () => unknown) => ({
        _tag: "Challenge",
        authenticationData: undefined,
        respond
      })
      const first = chain(
        [method("m", says(challenge(() => Effect.succeed(challenge(() => Effect.never)))))],
        options
      )
      const step = yield* first.authenticate(credentials({ authenticationMethod: "M" }))
      if (step._tag !== "Challenge") return expect(told(step)).toBe("Challenge")
      const next = yield* step.respond(undefined)
      if (next._tag !== "Challenge") return expect(told(next)).toBe("Challenge")
      const last = yield* Effect.fork(next.respond(undefined))
      yield* TestClock.adjust(1000)
      expect(told(yield* Fiber.join(last))).toBe("0x88")
      for (const answer of [bug, says(notMine)]) {
        const again = yield* chain([method("m", says(challenge(answer)))], options).authenticate(
          credentials()
        )
        if (again._tag === "Challenge") expect(told(yield* quietly(again.respond(undefined)))).toBe("0x88")
      }
    })
  )

  test("re-authentication goes to the methods that know it", async () => {
    const reauthenticate = () => Effect.succeed<Verdict>(acceptedAs("me"))
    const methods = [method("plain", bug), { ...method("enhanced", bug), reauthenticate }]
    const again = (all: ReadonlyArray<AuthenticationMethod>) =>
      chain(all, options).reauthenticate(identityOf("me"), "M", undefined)
    expect(await tell(again(methods))).toBe("default/me")
    expect(await tell(again(methods.slice(0, 1)))).toBe("0x8c")
  })

  test("takes any authenticator for a method", async () => {
    const known = (step: Verdict) => ({
      authenticate: () => Effect.succeed(step),
      reauthenticate: () => Effect.succeed(step)
    })
    const ask = (step: Parameters<typeof known>[0]) =>
      tell(
        chain(
          [methodOf("own", known(step) as Authenticator["Type"]), method("next", says(acceptedAs("next")))],
          options
        ).authenticate(credentials())
      )
    expect(await ask(unknownMethod)).toBe("default/next")
    expect(await ask(wrongCredentials)).toBe("0x86")
    expect(await ask(acceptedAs("own"))).toBe("default/own")
  })
})

describe("anonymous in a chain", () => {
  const rows: ReadonlyArray<
    readonly [from: "loopback" | "always", presented: Parameters<typeof credentials>[0], result: string]
  > = [
    ["loopback", { peer: { isLoopback: true } }, "default/anonymous"],
    ["loopback", {}, "0x87"],
    ["always", {}, "default/anonymous"],
    ["always", { username: "u" }, "0x86"],
    ["always", { password: "p" }, "0x86"],
    ["always", { authenticationMethod: "M" }, "0x8c"]
  ]
  for (const [from, presented, result] of rows) {
    const shown = Object.keys(presented ?? {}).join(", ")
    test(`${from}: one who presents [${shown}] is ${result}`, async () => {
      const authenticator = chain([anonymousMethod(from)], options)
      expect(await tell(authenticator.authenticate(credentials(presented)))).toBe(result)
    })
  }
})

test("a broker refuses a client while its authentication fails, and touches no session", async () => {
  const authenticator = Layer.succeed(
    Authenticator,
    chain([method("broken", () => Effect.die("a bug"))], options)
  )
  await withBroker({ authenticator }, async (broker) => {
    for (const [version, code] of [
      [4, 3],
      [5, 0x88]
    ] as const) {
      const client = broker.open(version)
      await client.send(raw.connect({ version, username: "u", password: "p" }))
      const connack = await client.expect("connack")
      expect(version === 5 ? connack.reasonCode : connack.returnCode).toBe(code)
      await client.expectClosed()
    }
    expect(broker.broker.census().sessions).toBe(0)
  })
})
