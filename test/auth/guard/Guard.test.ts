/** [attack 22] [attack 39] The guard: waiting after failures, bans, flapping clients. */

import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import {
  type AuthenticationStep,
  Authenticator,
  bytesOf,
  type Credentials
} from "../../../src/auth/Authenticator.ts"
import { wrongCredentials } from "../../../src/auth/Chain.ts"
import { Backoff } from "../../../src/auth/guard/Backoff.ts"
import { type BanSubject, makeBanList } from "../../../src/auth/guard/BanList.ts"
import { BoundedTable, tableKey } from "../../../src/auth/guard/BoundedTable.ts"
import { FlapDetector } from "../../../src/auth/guard/FlapDetector.ts"
import { type GuardOptions, guarded } from "../../../src/auth/guard/Guard.ts"
import { CidrError } from "../../../src/transport/Cidr.ts"
import { credentials, identityOf, tell } from "../../support/credentials.ts"
import { raw } from "../../support/raw.ts"
import { acceptedAs, refusedWith } from "../../support/testAuthenticator.ts"
import { withBroker } from "../../support/testBroker.ts"

const terms = { failuresFree: 3, firstWaitMs: 1000, waitMsMax: 8000, keysMax: 100 }

describe("back-off", () => {
  test("lets the first failures pass, then doubles up to the limit", () => {
    const backoff = new Backoff(terms)
    const waits: Array<number> = []
    for (let failure = 0, now = 0; failure < 9; failure++) {
      backoff.failed("k", now)
      waits.push(backoff.waitMs("k", now))
      now += backoff.waitMs("k", now)
      expect(backoff.waitMs("k", now)).toBe(0)
    }
    expect(waits).toEqual([0, 0, 0, 1000, 2000, 4000, 8000, 8000, 8000])
  })

  test("forgets what is long ago, and is each key's own", () => {
    const backoff = new Backoff(terms)
    for (let failure = 0; failure < 4; failure++) backoff.failed("k", 0)
    expect([backoff.waitMs("k", 0), backoff.waitMs("other", 0)]).toEqual([1000, 0])
    backoff.failed("k", 80_001)
    expect(backoff.waitMs("k", 80_001)).toBe(0)
  })

  test("does not lock anybody out when the clock is set back", () => {
    const backoff = new Backoff(terms)
    for (let failure = 0; failure < 4; failure++) backoff.failed("k", 1_000_000)
    expect(backoff.waitMs("k", 0)).toBe(8000)
  })

  test("remembers a bounded number of keys", () => {
    const table = new BoundedTable<number>(3)
    for (const [key, value] of [
      ["a", 1],
      ["b", 2],
      ["c", 3],
      ["a", 4],
      ["d", 5]
    ] as const)
      table.set(key, value)
    expect([table.size, table.get("a"), table.get("b")]).toEqual([3, 4, undefined])
    expect(tableKey("a", "b")).not.toBe(tableKey("ab", ""))
    expect(tableKey("x".repeat(65_535)).length).toBeLessThanOrEqual(64)
  })
})

describe("the ban list", () => {
  let now = 0
  const client: BanSubject = { _tag: "Client", tenant: "acme", clientId: "c" }
  const user: BanSubject = { _tag: "User", tenant: "acme", principal: "ada" }
  const address = (network: string): BanSubject => ({ _tag: "Address", network })
  const until = (subject: BanSubject, untilMs?: number) => ({ subject, reason: "r", untilMs })

  test("bans clients and users of a tenant, until it is over", () => {
    const bans = makeBanList(() => now)
    bans.add(until(client, 100))
    bans.add(until(user))
    const of = (clientId: string, principal: string, tenant = "acme") =>
      bans.ofClient({ tenant, clientId, principal }) !== undefined
    expect([of("c", "x"), of("x", "ada"), of("x", "x"), of("c", "ada", "globex")]).toEqual([
      true,
      true,
      false,
      false
    ])
    now = 100
    expect([of("c", "x"), of("x", "ada")]).toEqual([false, true])
    expect(bans.list().map(({ subject }) => subject)).toEqual([user])
    expect([bans.remove(user), bans.remove(user), of("x", "ada")]).toEqual([true, false, false])
  })

  test("bans addresses and networks, in any spelling", () => {
    now = 0
    const bans = makeBanList(() => now)
    bans.add(until(address("192.0.2.7"), 100))
    bans.add(until(address("2001:db8::/32"), 200))
    const banned = (...addresses: ReadonlyArray<string>) =>
      addresses.filter((each) => bans.ofAddress(each) !== undefined)
    const all = ["192.0.2.7", "::ffff:192.0.2.7", "192.0.2.8", "2001:DB8::1", "2001:db9::1", ""]
    expect(banned(...all)).toEqual(["192.0.2.7", "::ffff:192.0.2.7", "2001:DB8::1"])
    now = 100
    expect(banned(...all)).toEqual(["2001:DB8::1"])
    bans.remove(address("2001:db8::/32"))
    expect(banned(...all)).toEqual([])
    expect(() => bans.add(until(address("nowhere")))).toThrow(CidrError)
    expect(bans.list()).toEqual([])
  })

  test("is bounded, and makes room by what is over", () => {
    now = 0
    const bans = makeBanList(() => now, 2)
    expect([bans.add(until(client, 100)), bans.add(until(user)), bans.add(until(address("::1")))]).toEqual([
      true,
      true,
      false
    ])
    expect(bans.add(until(client, 50))).toBe(true)
    now = 50
    expect(bans.add(until(address("::1")))).toBe(true)
  })
})

describe("[attack 22] a flapping client", () => {
  test("is one that connects too often within the window", () => {
    const detector = new FlapDetector({ connectsMax: 3, windowMs: 1000, clientsMax: 10 })
    const at = [0, 10, 20, 1000, 1010, 1020, 1030, 1040]
    expect(at.map((instant) => detector.connected("k", instant))).toEqual([
      false,
      false,
      false,
      false,
      false,
      false,
      true,
      false
    ])
    expect(detector.connected("other", 20)).toBe(false)
  })
})

/** An authenticator that knows the password, under guard; and a clock. */
const setUp = (options: Partial<GuardOptions> = {}) => {
  let now = 0
  let asked = 0
  const judge = ({ password, username }: Credentials): AuthenticationStep => {
    asked++
    return Buffer.from(bytesOf(password) ?? []).toString() === "secret"
      ? acceptedAs(username ?? "nobody")
      : wrongCredentials
  }
  const bans = makeBanList(() => now)
  const guard = guarded(
    {
      authenticate: (presented) => Effect.succeed(judge(presented)),
      reauthenticate: () => Effect.succeed(wrongCredentials)
    },
    { bans, addresses: new Backoff(terms), users: new Backoff(terms), nowMs: () => now, ...options }
  )
  const attempt = (username: string, password: string, address = "192.0.2.1", more = {}) =>
    tell(guard.authenticate(credentials({ username, password, peer: { address }, ...more })))
  return {
    bans,
    guard,
    attempt,
    asked: () => asked,
    wait: (ms: number) => {
      now += ms
    }
  }
}

describe("[attack 39] guessing", () => {
  test("from one address: it waits, and the authenticator is not asked meanwhile", async () => {
    const { asked, attempt, wait } = setUp()
    const answers: Array<string> = []
    for (const name of ["a", "b", "c", "d", "e"]) answers.push(await attempt(name, "guess"))
    expect(answers).toEqual(["0x86", "0x86", "0x86", "0x86", "0x9f"])
    expect(asked()).toBe(4)
    expect(await attempt("a", "secret")).toBe("0x9f")
    wait(1000)
    expect(await attempt("a", "secret")).toBe("default/a")
  })

  test("from this machine is no different", async () => {
    const { attempt } = setUp()
    const local = { peer: { address: "127.0.0.1", isLoopback: true } }
    for (let round = 0; round < 4; round++) await attempt("a", "guess", "127.0.0.1", local)
    expect(await attempt("a", "secret", "127.0.0.1", local)).toBe("0x9f")
  })

  test("from one line of IPv6 addresses is from one address", async () => {
    const { attempt } = setUp()
    for (let round = 0; round < 4; round++) await attempt(`u${round}`, "guess", `2001:db8::${round}`)
    expect(await attempt("z", "secret", "2001:db8::ffff")).toBe("0x9f")
    expect(await attempt("z", "secret", "2001:db8:0:1::1")).toBe("default/z")
  })

  test("at one user from many addresses: the user waits elsewhere, not where it is known", async () => {
    const { attempt } = setUp()
    expect(await attempt("ada", "secret", "192.0.2.1")).toBe("default/ada")
    for (let host = 2; host < 6; host++) await attempt("ada", "guess", `192.0.2.${host}`)
    expect(await attempt("ada", "secret", "192.0.2.9")).toBe("0x9f")
    expect(await attempt("ada", "secret", "192.0.2.1")).toBe("default/ada")
  })

  test("does not hurt users who are known behind the same address, until they fail themselves", async () => {
    const { attempt } = setUp()
    await attempt("ada", "secret")
    for (const name of ["a", "b", "c", "d"]) await attempt(name, "guess")
    expect(await attempt("ada", "secret")).toBe("default/ada")
    expect(await attempt("ada", "guess")).toBe("0x86")
    expect(await attempt("ada", "secret")).toBe("0x9f")
  })

  test("is not what a server does that cannot tell, nor one who presents nothing", async () => {
    const unavailable = guarded(
      {
        authenticate: ({ username }) => Effect.succeed(refusedWith(username === undefined ? 0x87 : 0x88)),
        reauthenticate: () => Effect.succeed(wrongCredentials)
      },
      { bans: makeBanList(() => 0), addresses: new Backoff(terms), users: new Backoff(terms), nowMs: () => 0 }
    )
    for (const [presented, code] of [
      [{ username: "u", password: "p" }, "0x88"],
      [{}, "0x87"]
    ] as const) {
      for (let round = 0; round < 6; round++) {
        expect(await tell(unavailable.authenticate(credentials(presented)))).toBe(code)
      }
    }
  })

  test("by re-authentication and by answers to challenges counts as well", async () => {
    const { attempt, guard } = setUp()
    for (let round = 0; round < 4; round++)
      await tell(guard.reauthenticate(identityOf("ada"), "M", undefined))
    expect(await attempt("ada", "secret")).toBe("0x9f")

    const challenging = guarded(
      {
        authenticate: () =>
          Effect.succeed({
            _tag: "Challenge",
            authenticationData: undefined,
            respond: () => Effect.succeed(wrongCredentials)
          }),
        reauthenticate: () => Effect.succeed(wrongCredentials)
      },
      { bans: makeBanList(() => 0), addresses: new Backoff(terms), users: new Backoff(terms), nowMs: () => 0 }
    )
    const exchange = async () => {
      const step = await Effect.runPromise(
        challenging.authenticate(credentials({ authenticationMethod: "M" }))
      )
      return step._tag === "Challenge" ? tell(step.respond(undefined)) : tell(Effect.succeed(step))
    }
    const answers: Array<string> = []
    for (let round = 0; round < 5; round++) answers.push(await exchange())
    expect(answers).toEqual(["0x86", "0x86", "0x86", "0x86", "0x9f"])
  })
})

describe("bans", () => {
  test("of an address go before the password; of a client or a user after it", async () => {
    const { asked, attempt, bans } = setUp()
    bans.add({ subject: { _tag: "Address", network: "192.0.2.0/24" }, reason: "r", untilMs: undefined })
    bans.add({
      subject: { _tag: "User", tenant: "default", principal: "eve" },
      reason: "r",
      untilMs: undefined
    })
    bans.add({
      subject: { _tag: "Client", tenant: "default", clientId: "c" },
      reason: "r",
      untilMs: undefined
    })
    expect(await attempt("ada", "secret", "192.0.2.1")).toBe("0x8a")
    expect(asked()).toBe(0)
    const elsewhere = "198.51.100.1"
    expect(await attempt("eve", "secret", elsewhere)).toBe("0x8a")
    expect(await attempt("ada", "secret", elsewhere, { clientId: "c" })).toBe("0x8a")
    expect(await attempt("ada", "secret", elsewhere)).toBe("default/ada")
    expect(await attempt("eve", "guess", elsewhere)).toBe("0x86")
  })

  test("of a flapping client end; strangers with its identifier cannot bring them about", async () => {
    const detector = new FlapDetector({ connectsMax: 2, windowMs: 1000, clientsMax: 10 })
    const { attempt, bans, wait } = setUp({ flapping: { detector, banMs: 5000 } })
    for (let host = 1; host < 9; host++) await attempt("eve", "guess", `198.51.100.${host}`)
    const answers: Array<string> = []
    for (let round = 0; round < 4; round++) answers.push(await attempt("ada", "secret"))
    expect(answers).toEqual(["default/ada", "default/ada", "0x8a", "0x8a"])
    expect(bans.list().map(({ subject }) => subject)).toEqual([
      { _tag: "Client", tenant: "default", clientId: "client" }
    ])
    wait(5000)
    expect(await attempt("ada", "secret")).toBe("default/ada")
  })
})

test("a broker tells clients of each version that they have to wait, or are banned", async () => {
  const { bans, guard } = setUp()
  await withBroker({ authenticator: Layer.succeed(Authenticator, guard) }, async (broker) => {
    const answer = async (version: 4 | 5, password: string, username = "ada") => {
      const client = broker.open(version)
      await client.send(raw.connect({ version, username, password }))
      const connack = await client.expect("connack")
      return version === 5 ? connack.reasonCode : connack.returnCode
    }
    for (let round = 0; round < 4; round++) expect(await answer(5, "guess")).toBe(0x86)
    expect([await answer(5, "guess"), await answer(4, "guess")]).toEqual([0x9f, 3])
    bans.add({
      subject: { _tag: "User", tenant: "default", principal: "eve" },
      reason: "r",
      untilMs: undefined
    })
    expect(broker.eventsOf("ConnectRefused").map(({ reasonCode }) => reasonCode)).toEqual([
      ...[0x86, 0x86, 0x86, 0x86],
      ...[0x9f, 0x9f]
    ])
  })
})
