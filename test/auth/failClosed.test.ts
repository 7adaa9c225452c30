/** An authenticator, an authorizer or a balancer that fails in any way lets nobody in and allows nothing. */

import { describe, expect, test } from "bun:test"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type AuthenticationStep, Authenticator } from "../../src/auth/Authenticator.ts"
import {
  AuthorizationUnavailable,
  Authorizer,
  allowAll,
  type Permissions
} from "../../src/auth/Authorizer.ts"
import { ClientBalancer } from "../../src/tenant/ClientBalancer.ts"
import { raw } from "../support/raw.ts"
import { refusedWith } from "../support/testAuthenticator.ts"
import { type TestBrokerOptions, withBroker } from "../support/testBroker.ts"

const bug = (): never => {
  throw new TypeError("a bug")
}

const authenticator = (authenticate: Authenticator["Type"]["authenticate"]) =>
  Layer.succeed(Authenticator, { authenticate, reauthenticate: () => Effect.die("not asked for") })

const answering = (step: unknown) => authenticator(() => Effect.succeed(step as AuthenticationStep))

const authorizer = (permissions: Authorizer["Type"]["permissions"]) =>
  Layer.succeed(Authorizer, { permissions })

const balancer = (redirect: ClientBalancer["Type"]["redirect"]) => Layer.succeed(ClientBalancer, { redirect })

const noPermissions = () => Effect.succeed(undefined as unknown as Permissions)

describe("the handshake is refused when", () => {
  const cases: ReadonlyArray<readonly [name: string, options: TestBrokerOptions, code: number]> = [
    ["the authenticator dies", { authenticator: authenticator(() => Effect.die("a bug")) }, 0x80],
    ["the authenticator throws", { authenticator: authenticator(bug) }, 0x80],
    ["the authenticator answers with nothing", { authenticator: answering(undefined) }, 0x80],
    ["the authenticator answers with something else", { authenticator: answering({ _tag: "Yes" }) }, 0x87],
    ["it accepts nobody in particular", { authenticator: answering({ _tag: "Accepted" }) }, 0x87],
    ["it refuses with Success", { authenticator: answering(refusedWith(0)) }, 0x87],
    [
      "it challenges a client without a method",
      { authenticator: answering({ _tag: "Challenge", authenticationData: undefined, respond: bug }) },
      0x87
    ],
    [
      "the authorizer is unavailable",
      { authorizer: authorizer(() => new AuthorizationUnavailable({ reason: "down" })) },
      0x88
    ],
    ["the authorizer dies", { authorizer: authorizer(() => Effect.die("a bug")) }, 0x88],
    ["the authorizer throws", { authorizer: authorizer(bug) }, 0x88],
    ["the authorizer answers with nothing", { authorizer: authorizer(noPermissions) }, 0x88],
    ["the balancer dies", { balancer: balancer(() => Effect.die("a bug")) }, 0x80],
    ["the balancer throws", { balancer: balancer(bug) }, 0x80]
  ]
  for (const [name, options, code] of cases) {
    test(name, () =>
      withBroker(options, async (broker) => {
        const client = broker.open(5)
        await client.send(raw.connect({ version: 5 }))
        const connack = await client.expect("connack")
        expect([connack.reasonCode, connack.sessionPresent]).toEqual([code, false])
        await client.expectClosed()
        await broker.settle()
        expect(broker.broker.census()).toMatchObject({ connections: 0, sessions: 0, deadlines: 0 })
        expect(broker.eventsOf("ConnectRefused").map((event) => event.reasonCode)).toEqual([code])
      })
    )
  }
})

describe("the handshake's deadline ends it when", () => {
  const cases: ReadonlyArray<readonly [name: string, options: TestBrokerOptions]> = [
    ["the authenticator hangs", { authenticator: authenticator(() => Effect.never) }],
    ["the authorizer hangs", { authorizer: authorizer(() => Effect.never) }],
    ["the balancer hangs", { balancer: balancer(() => Effect.never) }]
  ]
  for (const [name, options] of cases) {
    test(name, () =>
      withBroker({ ...options, options: { handshakeTimeoutMs: 5000 } }, async (broker) => {
        const client = broker.open(5)
        await client.send(raw.connect({ version: 5 }))
        await broker.advance(4800)
        expect(broker.broker.census().connections).toBe(1)
        await broker.advance(400)
        await client.expectClosed()
        await broker.settle()
        expect(broker.broker.census()).toMatchObject({ connections: 0, sessions: 0, deadlines: 0 })
      })
    )
  }
})

const permitting = (permissions: Partial<Permissions>) => ({
  authorizer: authorizer(() => Effect.succeed({ ...allowAll, ...permissions }))
})

const answers: ReadonlyArray<readonly [name: string, answer: () => never]> = [
  ["throws", bug],
  ["answers with nothing", () => undefined as never],
  ["answers with a word", () => "yes" as never],
  ["dies", () => Effect.die("a bug") as never],
  ["throws when it runs", () => Effect.sync(bug) as never],
  ["succeeds with a word", () => Effect.succeed("yes") as never],
  ["is interrupted", () => Effect.interrupt as never]
]

describe("a permission means no when it", () => {
  for (const [name, answer] of answers) {
    test(`${name}, asked for a PUBLISH or a SUBSCRIBE`, () =>
      withBroker(permitting({ publish: answer, subscribe: answer }), async (broker) => {
        const client = await broker.connect({ version: 5 })
        await client.send(raw.publish({ version: 5, qos: 1, packetId: 1 }))
        expect((await client.expect("puback")).reasonCode).toBe(0x87)
        await client.send(raw.subscribe({ version: 5, packetId: 2, filters: ["a", "b"] }))
        expect((await client.expect("suback")).granted).toEqual([0x87, 0x87])
        await client.quiet()
      }))

    test(`${name}, asked for a will`, () =>
      withBroker(permitting({ publish: answer }), async (broker) => {
        const client = broker.open(5)
        await client.send(raw.connect({ version: 5, will: {} }))
        expect((await client.expect("connack")).reasonCode).toBe(0x87)
      }))
  }

  test("throws, asked for a delivery", () =>
    withBroker(permitting({ deliver: (topic) => (topic === "bad" ? bug() : true) }), async (broker) => {
      const client = await broker.connect({ version: 5 })
      await client.subscribe(["#", 1])
      const publisher = await broker.connect({ clientId: "publisher" })
      await publisher.publish("bad")
      await publisher.publish("good")
      expect((await client.expect("publish")).topic).toBe("good")
      await client.quiet()
      expect(broker.eventsOf("ActorDefect")).toEqual([])
    }))

  test("takes longer than ten seconds; what the client sent meanwhile follows in order", () =>
    withBroker(
      permitting({ publish: (topic) => (topic === "slow" ? Effect.never : true) }),
      async (broker) => {
        const client = await broker.connect({ version: 5, keepAlive: 2 })
        await client.send(
          raw.publish({ version: 5, topic: "slow", qos: 1, packetId: 1 }),
          raw.publish({ version: 5, topic: "quick", qos: 1, packetId: 2 })
        )
        await broker.settle()
        await broker.advance(9900)
        expect(broker.eventsOf("PublishRefused")).toEqual([])
        await broker.advance(200)
        const slow = await client.expect("puback")
        const quick = await client.expect("puback")
        expect([slow.messageId, slow.reasonCode]).toEqual([1, 0x87])
        expect([quick.messageId, quick.reasonCode]).toEqual([2, 0x10])
        await client.quiet()
      }
    ))
})

describe("an authorizer that has to ask", () => {
  test("[MQTT-4.6.0-2] parks the client's packets in order and lets them go on with its answers", async () => {
    const answers = [1, 2, 3].map(() => Effect.runSync(Deferred.make<boolean>()))
    let asked = 0
    const publish = () => {
      const answer = answers[asked++]
      return answer === undefined ? false : Deferred.await(answer)
    }
    await withBroker(permitting({ publish }), async (broker) => {
      const client = await broker.connect({ version: 5 })
      for (const packetId of [1, 2, 3]) await client.send(raw.publish({ version: 5, qos: 1, packetId }))
      await broker.settle()
      expect(asked).toBe(1)
      for (const [index, answer] of answers.entries()) {
        Effect.runSync(Deferred.succeed(answer, index !== 1))
        const puback = await client.expect("puback")
        expect([puback.messageId, puback.reasonCode]).toEqual([index + 1, index === 1 ? 0x87 : 0x10])
      }
    })
  })

  test("answers for each filter of a SUBSCRIBE", () =>
    withBroker(
      permitting({ subscribe: (filter) => Effect.map(Effect.yieldNow(), () => filter !== "secret") }),
      async (broker) => {
        const client = await broker.connect({ version: 5 })
        await client.send(raw.subscribe({ version: 5, filters: [["a", 1], "secret", ["b", 2]] }))
        expect((await client.expect("suback")).granted).toEqual([1, 0x87, 2])
      }
    ))

  test("answers nobody when the client has gone meanwhile", async () => {
    const answer = Effect.runSync(Deferred.make<boolean>())
    let asked = 0
    const publish = () => (asked++ === 0 ? Deferred.await(answer) : true)
    await withBroker(permitting({ publish }), async (broker) => {
      const client = await broker.connect({ version: 5 })
      await client.send(raw.publish({ version: 5, qos: 1, packetId: 1 }))
      await broker.settle()
      const next = await broker.connect({ version: 5 })
      Effect.runSync(Deferred.succeed(answer, true))
      await next.publish("topic")
      await next.quiet()
      client.drop()
    })
  })
})
