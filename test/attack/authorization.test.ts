/** Attacks on permissions: rows 13, 14 and 18 of the attack table. */

import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import type { AclRule } from "../../src/auth/Acl.ts"
import { Authorizer, allowAll } from "../../src/auth/Authorizer.ts"
import { parseAcl } from "../../src/auth/acl/AclText.ts"
import { RuleBook } from "../../src/auth/acl/RuleBook.ts"
import { hex, raw, type Version } from "../support/raw.ts"
import { type TestBroker, type TestClient, withBroker } from "../support/testBroker.ts"

const allow = (action: AclRule["action"], topicFilter: string): AclRule => ({
  permission: "allow",
  action,
  topicFilter
})

const deny = (action: AclRule["action"], topicFilter: string): AclRule => ({
  permission: "deny",
  action,
  topicFilter
})

/** Rules for everybody but `admin`, who may do everything. */
const rulesFor = (...rules: ReadonlyArray<AclRule>) => ({
  authorizer: Authorizer.layerRules(({ clientId }) => (clientId === "admin" ? [allow("all", "#")] : rules))
})

const versions: ReadonlyArray<Version> = [4, 5]
const notAuthorized = (version: Version): number => (version === 5 ? 0x87 : 0x80)

const granted = async (client: TestClient, ...filters: ReadonlyArray<string>) => {
  await client.send(raw.subscribe({ version: client.version, filters: filters.map((filter) => [filter, 1]) }))
  return (await client.expect("suback")).granted
}

const publishAll = async (broker: TestBroker, ...topics: ReadonlyArray<string>): Promise<void> => {
  const admin = await broker.connect({ clientId: "admin" })
  for (const topic of topics) await admin.publish(topic)
}

describe.each(versions)("attack 14: filters and permissions, version %d", (version) => {
  const broader: ReadonlyArray<readonly [grant: string, filter: string, isGranted: boolean]> = [
    ["a/b", "a/b", true],
    ["a/b", "#", false],
    ["a/b", "a/#", false],
    ["a/b", "a/+", false],
    ["a/b", "+/b", false],
    ["a/b", "+/+", false],
    ["a/+", "a/+", true],
    ["a/+", "a/b", true],
    ["a/+", "a/#", false],
    ["a/+", "a", false],
    ["a/+", "+/b", false],
    ["a/#", "a/#", true],
    ["a/#", "a/+/c", true],
    ["a/#", "a", true],
    ["a/#", "#", false],
    ["a/#", "+", false],
    ["+/b", "a/b", true],
    ["+/b", "+/+", false],
    ["#", "$private/x", false],
    ["+/x", "$private/x", false]
  ]

  test.each(broader)("attack 14: what allows %j, asked for %j: %j", (grant, filter, isGranted) =>
    withBroker(rulesFor(allow("subscribe", grant)), async (broker) => {
      const client = await broker.connect({ version, clientId: "client" })
      for (const asked of [filter, `$share/g/${filter}`, `$oshare/g/${filter}`]) {
        expect(await granted(client, asked)).toEqual([isGranted ? 1 : notAuthorized(version)])
      }
      expect(broker.broker.census().subscriptions).toBe(isGranted ? 3 : 0)
    })
  )

  test("attack 14: each filter of a SUBSCRIBE is judged alone, and a refused one never matches", () =>
    withBroker(rulesFor(allow("subscribe", "mine/#")), async (broker) => {
      const client = await broker.connect({ version, clientId: "client" })
      const no = notAuthorized(version)
      expect(await granted(client, "mine/a", "theirs/a", "#", "$share/g/theirs/a", "mine/b")).toEqual([
        1,
        no,
        no,
        no,
        1
      ])
      await publishAll(broker, "theirs/a", "other", "mine/a", "theirs/a", "mine/b")
      for (const topic of ["mine/a", "mine/b"]) expect((await client.expect("publish")).topic).toBe(topic)
      await client.quiet()
      expect(broker.broker.census().subscriptions).toBe(2)
    }))

  test("attack 14: a deny inside an allowed wildcard holds at delivery", () =>
    withBroker(rulesFor(deny("subscribe", "a/x"), allow("subscribe", "a/#")), async (broker) => {
      const client = await broker.connect({ version, clientId: "client" })
      const no = notAuthorized(version)
      expect(await granted(client, "a/x", "$share/g/a/x", "a/#", "a/+")).toEqual([no, no, 1, 1])
      await publishAll(broker, "a/x", "a/y", "a/x", "a/x/y")
      for (const topic of ["a/y", "a/x/y"]) expect((await client.expect("publish")).topic).toBe(topic)
      await client.quiet()
    }))

  test("attack 14: it holds for retained messages as well", () =>
    withBroker(rulesFor(deny("subscribe", "a/x"), allow("subscribe", "a/#")), async (broker) => {
      const admin = await broker.connect({ clientId: "admin" })
      for (const topic of ["a/x", "a/y"]) await admin.publish(topic, "kept", { retain: true })
      const client = await broker.connect({ version, clientId: "client" })
      expect(await granted(client, "a/+")).toEqual([1])
      expect((await client.expect("publish")).topic).toBe("a/y")
      await client.quiet()
    }))

  test("attack 14: it holds for what waited in the queue", () =>
    withBroker(rulesFor(deny("subscribe", "a/x"), allow("subscribe", "a/#")), async (broker) => {
      const options = {
        version,
        clientId: "client",
        clean: false,
        ...(version === 5 && { properties: hex("11 00 00 00 3c") })
      }
      const client = await broker.connect(options)
      await client.subscribe(["a/#", 1])
      client.drop()
      await broker.settle()
      await publishAll(broker, "a/x", "a/y")
      const again = await broker.connect(options)
      expect((await again.expect("publish")).topic).toBe("a/y")
      await again.quiet()
    }))

  test("attack 14: publishing is judged by the topic alone, aliases and QoS make no difference", () =>
    withBroker(rulesFor(allow("publish", "mine/#")), async (broker) => {
      const admin = await broker.connect({ clientId: "admin" })
      await admin.subscribe("#")
      const client = await broker.connect({ version, clientId: "client" })
      for (const qos of [0, 1, 2]) {
        await client.send(raw.publish({ version, topic: "theirs", qos, packetId: 1 + qos, retain: true }))
      }
      if (version === 5) {
        await client.send(raw.publish({ version, topic: "theirs", properties: hex("23 00 01") }))
        await client.send(raw.publish({ version, topic: "", properties: hex("23 00 01") }))
      }
      await client.send(raw.publish({ version, topic: "mine/a" }))
      expect((await admin.expect("publish")).topic).toBe("mine/a")
      await admin.quiet()
      expect(broker.broker.census().retainedMessages).toBe(0)
    }))
})

describe("attack 18: wills", () => {
  const forbidden = ["theirs", "$SYS", "$SYS/broker", "$share/g/a", "$oshare/g/a"]

  test.each(forbidden)("attack 18: a will to %j is refused at CONNECT with 0x87", (topic) =>
    withBroker(rulesFor(allow("publish", "mine/#")), async (broker) => {
      const watcher = await broker.connect({ clientId: "admin" })
      await watcher.subscribe("#", "$SYS/#")
      for (const [version, code] of [
        [4, 5],
        [5, 0x87]
      ] as const) {
        const client = broker.open(version)
        await client.send(raw.connect({ version, clientId: "client", will: { topic } }))
        const connack = await client.expect("connack")
        expect(version === 5 ? connack.reasonCode : connack.returnCode).toBe(code)
        await client.expectClosed()
      }
      await watcher.quiet()
      expect(broker.broker.census().sessions).toBe(1)
    })
  )

  test("attack 18: a will whose permission was withdrawn is not published", () => {
    let isAllowed = true
    const authorizer = Layer.succeed(Authorizer, {
      permissions: () =>
        Effect.succeed({ publish: () => isAllowed, subscribe: () => true, deliver: undefined })
    })
    return withBroker({ authorizer }, async (broker) => {
      const watcher = await broker.connect({ clientId: "watcher" })
      await watcher.subscribe("will")
      const first = await broker.connect({ clientId: "first", will: {} })
      const second = await broker.connect({ clientId: "second", will: {} })
      first.drop()
      await watcher.expect("publish")
      isAllowed = false
      second.drop()
      await broker.settle()
      await watcher.quiet()
    })
  })

  test("attack 18: a will is as large as a CONNECT may be, and no larger", () =>
    withBroker({ options: { connectBytesMax: 1000 } }, async (broker) => {
      const client = broker.open(5)
      await client.send(raw.connect({ version: 5, will: { payload: "x".repeat(1000) } }))
      await client.expectClosed()
      await broker.connect({ version: 5, will: { payload: "x".repeat(900) } })
    }))

  test.each([
    ["publish", 1],
    ["suppress", 0]
  ] as const)("attack 18: a shutdown told to %s wills publishes %d", async (willsAtShutdown, count) => {
    let wills = 0
    await withBroker({ settings: { willsAtShutdown } }, async (broker) => {
      await broker.connect({ clientId: "client", will: { retain: true } })
      await broker.stop()
      wills = broker.eventsOf("WillPublished").length
    })
    expect(wills).toBe(count)
  })

  test("attack 18: a will that waits for its delay goes with its tenant's limits, and only once", () =>
    withBroker({ settings: { willDelayIntervalMax: 10 } }, async (broker) => {
      const watcher = await broker.connect({ clientId: "watcher", keepAlive: 0 })
      await watcher.subscribe("will")
      const client = await broker.connect({
        version: 5,
        clientId: "client",
        properties: hex("11 ff ff ff ff"),
        will: { properties: hex("18 00 0f ff ff") }
      })
      client.drop()
      await broker.settle()
      await watcher.quiet()
      await broker.advance(10_100)
      await watcher.expect("publish")
      await broker.advance(86_400_000)
      await watcher.quiet()
    }))
})

describe("attack 13: names with wildcards in them", () => {
  const book = new RuleBook(
    Either.getOrThrow(
      parseAcl(
        "rules.acl",
        [
          `deny publish secret/\${clientId}/#`,
          `allow all devices/\${clientId}/#`,
          `allow all users/\${username}/#`,
          `allow all \${username}`,
          "allow publish secret/#",
          ""
        ].join("\n")
      )
    )
  )
  const authorizer = Layer.succeed(Authorizer, {
    permissions: (identity) =>
      Effect.succeed(identity.clientId === "admin" ? allowAll : book.permissionsOf(identity))
  })

  const names = ["+", "#", "a/#", "+/+", "a/b", "/", `\${username}`, "%c", "$SYS"]

  test.each(names)("attack 13: a client that calls itself %j sees and reaches nobody else's", (name) =>
    withBroker({ authorizer }, async (broker) => {
      const client = await broker.connect({ version: 5, clientId: name, username: name })
      const others = ["devices/other", "devices/#", "devices/+/x", "users/other", "#", "$SYS/#", "+"]
      expect(await granted(client, ...others)).toEqual(others.map(() => 0x87))
      for (const topic of ["devices/other/x", "users/other/x", "other"]) {
        await client.send(raw.publish({ version: 5, topic, qos: 1, packetId: 1 }))
        expect((await client.expect("puback")).reasonCode).toBe(0x87)
      }
      // What could have been meant to be denied is.
      const isFit = !/[/+#]/.test(name)
      await client.send(raw.publish({ version: 5, topic: "secret/other", qos: 1, packetId: 1 }))
      expect((await client.expect("puback")).reasonCode).toBe(isFit ? 0x10 : 0x87)
      if (isFit) expect(await granted(client, `devices/${name}/#`, `users/${name}/+`)).toEqual([1, 1])
    })
  )
})
