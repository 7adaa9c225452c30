/**
 * Re-authentication against an authenticator that fails: the connection ends, it never goes on as if all were
 * well.
 */

import { describe, expect, test } from "bun:test"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type AuthenticationStep, Authenticator } from "../../src/auth/Authenticator.ts"
import { AuthorizationUnavailable, Authorizer, allowAll } from "../../src/auth/Authorizer.ts"
import { concat, properties, raw } from "../support/raw.ts"
import { acceptedAs } from "../support/testAuthenticator.ts"
import { type TestBroker, type TestClient, withBroker } from "../support/testBroker.ts"

const method = properties.authenticationMethod("M")

const reauthenticating = (reauthenticate: () => Effect.Effect<AuthenticationStep>) => ({
  authenticator: Layer.succeed(Authenticator, {
    authenticate: () => Effect.succeed<AuthenticationStep>(acceptedAs("me")),
    reauthenticate
  })
})

/** A client that has connected with a method and asks to be authenticated again. */
const again = async (broker: TestBroker): Promise<TestClient> => {
  const client = await broker.connect({ version: 5, properties: method })
  await client.send(raw.auth({ reasonCode: 0x19, properties: method }))
  return client
}

const bug = (): never => {
  throw new TypeError("a bug")
}

describe("re-authentication ends the connection when the authenticator", () => {
  const cases: ReadonlyArray<readonly [name: string, step: () => unknown, code: number]> = [
    ["throws", bug, 0x87],
    ["dies", () => Effect.die("a bug"), 0x87],
    ["answers with nothing", () => Effect.succeed(undefined), 0x87],
    ["answers with something else", () => Effect.succeed({ _tag: "Yes" }), 0x87],
    ["accepts nobody in particular", () => Effect.succeed({ _tag: "Accepted" }), 0x87],
    ["refuses with Success", () => Effect.succeed({ _tag: "Refused", reasonCode: 0, reason: "" }), 0x87],
    ["[MQTT-4.12.1-2] accepts somebody else", () => Effect.succeed(acceptedAs("other")), 0x87],
    [
      "[MQTT-4.12.1-2] accepts for another tenant",
      () => Effect.succeed(acceptedAs("me", { tenant: "other" })),
      0x87
    ]
  ]
  for (const [name, step, code] of cases) {
    test(name, () =>
      withBroker(
        reauthenticating(() => step() as Effect.Effect<AuthenticationStep>),
        async (broker) => {
          const client = await again(broker)
          expect((await client.expect("disconnect")).reasonCode).toBe(code)
          await client.expectClosed()
          expect(broker.eventsOf("ActorDefect")).toEqual([])
        }
      )
    )
  }
})

describe("re-authentication that the authenticator does not answer", () => {
  const hanging: ReadonlyArray<readonly [string, Effect.Effect<never>]> = [
    ["hangs", Effect.never],
    ["hangs and cannot be interrupted", Effect.uninterruptible(Effect.never)]
  ]
  test.each([...hanging])("because it %s ends the connection after ten seconds", (_, step) =>
    withBroker(
      reauthenticating(() => step),
      async (broker) => {
        const client = await again(broker)
        await broker.settle()
        await broker.advance(9800)
        await client.quiet()
        await broker.advance(400)
        expect((await client.expect("disconnect")).reasonCode).toBe(0x87)
        await client.expectClosed()
      }
    )
  )
})

describe("while the authenticator thinks", () => {
  test("packets flow on, a second AUTH is out of turn", () =>
    withBroker(
      reauthenticating(() => Effect.never),
      async (broker) => {
        const client = await again(broker)
        await client.publish("t")
        await client.send(raw.auth({ reasonCode: 0x19, properties: method }))
        expect((await client.expect("disconnect")).reasonCode).toBe(0x82)
        await client.expectClosed()
      }
    ))

  test("its answer to a connection that has gone is not the next one's", async () => {
    const answer = Effect.runSync(Deferred.make<AuthenticationStep>())
    await withBroker(
      reauthenticating(() => Deferred.await(answer)),
      async (broker) => {
        await again(broker)
        await broker.settle()
        const next = await broker.connect({ version: 5, properties: method })
        Effect.runSync(Deferred.succeed(answer, acceptedAs("other")))
        await broker.settle()
        await next.quiet()
      }
    )
  })
})

describe("permissions after re-authentication", () => {
  test("are asked for again, and hold from then on", async () => {
    let mayPublish = true
    const authorizer = Layer.succeed(Authorizer, {
      permissions: () => {
        const publish = mayPublish
        return Effect.succeed({ ...allowAll, publish: () => publish })
      }
    })
    const { authenticator } = reauthenticating(() => Effect.succeed(acceptedAs("me")))
    await withBroker({ authenticator, authorizer }, async (broker) => {
      const client = await broker.connect({ version: 5, properties: method })
      await client.publish("t")
      mayPublish = false
      await client.send(raw.auth({ reasonCode: 0x19, properties: concat(method) }))
      expect((await client.expect("auth")).reasonCode).toBe(0)
      await client.send(raw.publish({ version: 5, qos: 1, packetId: 1 }))
      expect((await client.expect("puback")).reasonCode).toBe(0x87)
    })
  })

  test("end the connection when they cannot be told", async () => {
    let isUp = true
    const authorizer = Layer.succeed(Authorizer, {
      permissions: () => (isUp ? Effect.succeed(allowAll) : new AuthorizationUnavailable({ reason: "down" }))
    })
    const { authenticator } = reauthenticating(() => Effect.succeed(acceptedAs("me")))
    await withBroker({ authenticator, authorizer }, async (broker) => {
      const client = await broker.connect({ version: 5, properties: method })
      isUp = false
      await client.send(raw.auth({ reasonCode: 0x19, properties: method }))
      await client.expect("auth")
      expect((await client.expect("disconnect")).reasonCode).toBe(0x89)
      await client.expectClosed()
    })
  })
})
