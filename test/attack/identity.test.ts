/** Attacks on other people's sessions: rows 20 to 22 of the attack table. */

import { describe, expect, test } from "bun:test"
import { properties, type RawConnect, raw, type Version } from "../support/raw.ts"
import { type TestBroker, type TestClient, withBroker } from "../support/testBroker.ts"
import { authenticator, everyTenant, password } from "./identities.ts"

const tenants = { authenticator, directory: everyTenant }
const hour = properties.sessionExpiryInterval(3600)

const device = (username: string, version: Version = 5): RawConnect => ({
  version,
  clientId: "device",
  clean: false,
  username,
  password,
  ...(version === 5 && { properties: hour })
})

/** A session with a subscription and two messages in its queue, one of them sent. */
const victim = async (broker: TestBroker): Promise<TestClient> => {
  const client = await broker.connect(device("acme/owner"))
  await client.subscribe(["private/#", 1])
  const publisher = await broker.connect({ clientId: "publisher", username: "acme/publisher", password })
  await publisher.publish("private/a", "first")
  expect((await client.expect("publish")).payload.toString()).toBe("first")
  return client
}

/** The victim has what it had. */
const isUnharmed = async (broker: TestBroker, client: TestClient): Promise<void> => {
  client.drop()
  await broker.settle()
  const publisher = await broker.connect({ clientId: "publisher", username: "acme/publisher", password })
  await publisher.publish("private/a", "second")
  const again = await broker.connect(device("acme/owner"))
  expect(again.connack?.sessionPresent).toBe(true)
  expect(await again.expect("publish")).toMatchObject({ dup: true })
  expect((await again.expect("publish")).payload.toString()).toBe("second")
  await again.quiet()
}

const isRefused = async (broker: TestBroker, options: RawConnect, code: number): Promise<void> => {
  const version = options.version ?? 4
  const client = broker.open(version)
  await client.send(raw.connect(options))
  const connack = await client.expect("connack")
  expect(version === 5 ? connack.reasonCode : connack.returnCode).toBe(code)
  expect(connack.sessionPresent).toBe(false)
  await client.expectClosed()
}

describe("attack 20: the client identifier of somebody else", () => {
  test("attack 20: the same identifier in another tenant is another session", () =>
    withBroker(tenants, async (broker) => {
      const client = await victim(broker)
      for (const clean of [false, true]) {
        const stranger = await broker.connect({ ...device("other/owner"), clean })
        expect(stranger.connack?.sessionPresent).toBe(false)
        await stranger.subscribe(["#", 1])
        await stranger.send(raw.publish({ version: 5, topic: "private/a", payload: "from another tenant" }))
        expect((await stranger.expect("publish")).payload.toString()).toBe("from another tenant")
        stranger.drop()
        await broker.settle()
      }
      await client.quiet()
      await isUnharmed(broker, client)
    }))

  test("attack 20: nothing passes from one tenant to another", () =>
    withBroker(tenants, async (broker) => {
      const spy = await broker.connect({ clientId: "spy", username: "other/spy", password })
      await spy.subscribe("#", "$share/g/#", "private/a")
      const client = await broker.connect({
        clientId: "client",
        username: "acme/client",
        password,
        will: { topic: "private/will", retain: true }
      })
      await client.publish("private/a", "kept", { retain: true })
      client.drop()
      await broker.settle()
      await spy.subscribe("private/#", "+/+")
      await spy.quiet()
    }))

  const attempts: ReadonlyArray<readonly [name: string, options: RawConnect, code: number]> = [
    ["resuming, version 5", device("acme/thief"), 0x87],
    ["a clean start, version 5", { ...device("acme/thief"), clean: true }, 0x87],
    ["resuming, version 3.1.1", device("acme/thief", 4), 5],
    ["a clean session, version 3.1.1", { ...device("acme/thief", 4), clean: true }, 5],
    ["with a will", { ...device("acme/thief"), will: { topic: "private/a" } }, 0x87]
  ]

  test.each(attempts)(
    "attack 20: another principal is refused while the owner is there: %s",
    (_name, options, code) =>
      withBroker(tenants, async (broker) => {
        const client = await victim(broker)
        await isRefused(broker, options, code)
        await client.quiet()
        await isUnharmed(broker, client)
      })
  )

  test.each(attempts)("attack 20: and while the owner is away: %s", (_name, options, code) =>
    withBroker(tenants, async (broker) => {
      const client = await victim(broker)
      client.drop()
      await broker.settle()
      await isRefused(broker, options, code)
      await isUnharmed(broker, client)
    })
  )

  test("attack 20: an identifier is free again when its session has ended", () =>
    withBroker(tenants, async (broker) => {
      const client = await victim(broker)
      client.drop()
      await broker.settle()
      await broker.advance(3_600_100)
      const next = await broker.connect(device("acme/thief"))
      expect(next.connack?.sessionPresent).toBe(false)
      await next.quiet()
    }))
})

describe("attack 21: authentication that fails", () => {
  const guesses: ReadonlyArray<readonly [name: string, options: RawConnect, code: number]> = [
    ["a wrong password", { ...device("acme/owner"), password: "guess" }, 0x86],
    ["a wrong password and a clean start", { ...device("acme/owner"), password: "guess", clean: true }, 0x86],
    ["a wrong password, version 3.1.1", { ...device("acme/owner", 4), password: "guess" }, 4],
    ["an unknown authentication", { ...device("acme"), will: { topic: "private/a" } }, 0x86],
    ["a will that is not allowed", { ...device("acme/owner"), will: { topic: "$SYS/a" } }, 0x87],
    ["a bad will QoS", { ...device("acme/owner"), flags: 0xde, will: {} }, 0x81]
  ]

  test.each(guesses)("attack 21: %s does not touch the session", (_name, options, code) =>
    withBroker(tenants, async (broker) => {
      const client = await victim(broker)
      for (let guess = 0; guess < 5; guess++) await isRefused(broker, options, code)
      await client.quiet()
      await isUnharmed(broker, client)
    })
  )
})

describe("attack 22: a storm of takeovers", () => {
  test.each([4, 5] as const)("attack 22: of 200 connections at once one is left, version %d", (version) =>
    withBroker({}, async (broker) => {
      const storm = Array.from({ length: 200 }, () => broker.open(version))
      await Promise.all(
        storm.map((client) => client.send(raw.connect({ version, clientId: "same", clean: false })))
      )
      await broker.settle()
      const last = storm.pop()
      const endings = await Promise.all(storm.map((client) => client.untilClosed()))
      for (const packets of endings) {
        expect(packets[0]).toMatchObject({ cmd: "connack" })
        if (version === 5) expect(packets[1]).toMatchObject({ cmd: "disconnect", reasonCode: 0x8e })
        expect(packets).toHaveLength(version === 5 ? 2 : 1)
      }
      await last?.connected()
      await last?.quiet()
      expect(broker.broker.census()).toMatchObject({ connections: 1, sessions: 1 })
      expect(broker.eventsOf("SessionTakenOver")).toHaveLength(199)
    })
  )

  test("attack 22: clean starts and resumptions in turn keep the census right", () =>
    withBroker({}, async (broker) => {
      let current: TestClient | undefined
      for (let round = 0; round < 100; round++) {
        const clean = round % 3 === 0
        const client = await broker.connect({ clientId: "same", clean })
        await current?.untilClosed()
        await client.subscribe(["a", 1], [`$share/g/${round % 5}`, 1])
        current = client
      }
      const publisher = await broker.connect({ clientId: "publisher" })
      await publisher.publish("a")
      await current?.expect("publish")
      current?.drop()
      await (await broker.connect({ clientId: "same" })).quiet()
      await broker.settle()
      expect(broker.broker.census()).toMatchObject({
        connections: 2,
        sessions: 2,
        subscriptions: 0,
        trieNodes: 0,
        groups: 0
      })
    }))
})
