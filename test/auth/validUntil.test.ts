/** Credentials that expire: the connection ends at that instant, and re-authentication moves it. */

import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type Accepted, type AuthenticationStep, Authenticator } from "../../src/auth/Authenticator.ts"
import { Authorizer } from "../../src/auth/Authorizer.ts"
import { properties, raw } from "../support/raw.ts"
import { acceptedAs, answeringAuthenticator } from "../support/testAuthenticator.ts"
import { withBroker } from "../support/testBroker.ts"

const START_MS = 1_800_000_000_000
const validFor = (seconds: number): Accepted => acceptedAs("me", { validUntilMs: START_MS + seconds * 1000 })

describe("credentials that expire", () => {
  test("end the connection with 0xA0 at that instant, not a moment before (3.14.2.1)", () =>
    withBroker({ authenticator: answeringAuthenticator(validFor(60)) }, async (broker) => {
      const client = await broker.connect({ version: 5 })
      await broker.advance(59_000)
      await client.quiet()
      await broker.advance(1200)
      expect((await client.expect("disconnect")).reasonCode).toBe(0xa0)
      await client.expectClosed()
      expect(broker.eventsOf("ClientDisconnected").map(({ by, reasonCode }) => [by, reasonCode])).toEqual([
        ["server", 0xa0]
      ])
    }))

  test("close a version 4 client without a word, and publish its will", () =>
    withBroker({ authenticator: answeringAuthenticator(validFor(60)) }, async (broker) => {
      const client = await broker.connect({ will: { topic: "will", payload: "gone" } })
      await broker.advance(60_200)
      await client.expectClosed()
      expect(broker.eventsOf("ClientDisconnected").map(({ reasonCode }) => reasonCode)).toEqual([0xa0])
    }))

  test("do not keep a Keep Alive from being enforced", () =>
    withBroker({ authenticator: answeringAuthenticator(validFor(60)) }, async (broker) => {
      const client = await broker.connect({ version: 5, keepAlive: 10 })
      await broker.advance(15_200)
      expect((await client.expect("disconnect")).reasonCode).toBe(0x8d)
    }))

  test("that had expired before do not stay", () =>
    withBroker({ authenticator: answeringAuthenticator(validFor(-1)) }, async (broker) => {
      const client = await broker.connect({ version: 5 })
      await broker.advance(200)
      expect((await client.expect("disconnect")).reasonCode).toBe(0xa0)
    }))

  test("are nonsense without an instant, and refused", () =>
    withBroker(
      { authenticator: answeringAuthenticator(acceptedAs("me", { validUntilMs: Number.NaN })) },
      async (broker) => {
        const client = broker.open(5)
        await client.send(raw.connect({ version: 5 }))
        expect((await client.expect("connack")).reasonCode).toBe(0x87)
      }
    ))
})

describe("re-authentication", () => {
  const method = properties.authenticationMethod("M")
  const renewing = (first: Accepted, renewed: AuthenticationStep) =>
    Layer.succeed(Authenticator, {
      authenticate: () => Effect.succeed<AuthenticationStep>(first),
      reauthenticate: () => Effect.succeed(renewed)
    })

  test("moves the end", () =>
    withBroker({ authenticator: renewing(validFor(60), validFor(120)) }, async (broker) => {
      const client = await broker.connect({ version: 5, properties: method })
      await broker.advance(50_000)
      await client.send(raw.auth({ reasonCode: 0x19, properties: method }))
      expect((await client.expect("auth")).reasonCode).toBe(0)
      await broker.advance(30_000)
      await client.quiet()
      await broker.advance(40_200)
      expect((await client.expect("disconnect")).reasonCode).toBe(0xa0)
    }))

  test("replaces what the credentials grant", async () => {
    const granting = (topicFilter: string): Accepted =>
      acceptedAs("me", { rules: [{ permission: "allow", action: "publish", topicFilter }] })
    const authenticator = renewing(granting("a"), granting("b"))
    await withBroker({ authenticator, authorizer: Authorizer.layerGranted }, async (broker) => {
      const client = await broker.connect({ version: 5, properties: method })
      const publishTo = async (topic: string): Promise<number | undefined> => {
        await client.send(raw.publish({ version: 5, topic, qos: 1, packetId: 1 }))
        return (await client.expect("puback")).reasonCode
      }
      expect([await publishTo("a"), await publishTo("b")]).toEqual([0x10, 0x87])
      await client.send(raw.auth({ reasonCode: 0x19, properties: method }))
      await client.expect("auth")
      await broker.settle()
      expect([await publishTo("a"), await publishTo("b")]).toEqual([0x87, 0x10])
    })
  })
})
