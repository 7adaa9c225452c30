import { describe, expect, test } from "bun:test"
import { Authorizer } from "../../../src/auth/Authorizer.ts"
import { encodeProperties } from "../../../src/protocol/Properties.ts"
import { DurableState } from "../../../src/storage/DurableState.ts"
import { composed } from "../../../src/tenant/policy/composed.ts"
import { mount } from "../../../src/tenant/policy/mount.ts"
import { type Policy, TenantPolicy } from "../../../src/tenant/policy/TenantPolicy.ts"
import { allow, refuse } from "../../../src/tenant/policy/Verdict.ts"
import { TenantDirectory } from "../../../src/tenant/TenantDirectory.ts"
import { defaultTenantSettings } from "../../../src/tenant/TenantSettings.ts"
import { type RawConnect, raw, type Version } from "../../support/raw.ts"
import { type TestBroker, type TestClient, withBroker } from "../../support/testBroker.ts"
import { byUsername } from "../byUsername.ts"

const versions: ReadonlyArray<Version> = [3, 4, 5]

/** Clients are mounted by their principal, all but `admin`. */
const mounted = mount(`users/\${principal}/`)

const unlessAdmin = (policy: Policy): Policy => ({
  publish: (message, client) =>
    client.principal === "admin" ? allow : (policy.publish?.(message, client) ?? allow),
  subscribe: (asked, client) =>
    client.principal === "admin" ? allow : (policy.subscribe?.(asked, client) ?? allow),
  unsubscribe: (asked, client) =>
    client.principal === "admin" ? allow : (policy.unsubscribe?.(asked, client) ?? allow),
  deliver: (message, client) =>
    client.principal === "admin" ? allow : (policy.deliver?.(message, client) ?? allow)
})

const options = {
  authenticator: byUsername,
  directory: TenantDirectory.layerTable(() => defaultTenantSettings),
  policy: TenantPolicy.layer(unlessAdmin(mounted))
}

const connect = (broker: TestBroker, principal: string, more: RawConnect = {}): Promise<TestClient> =>
  broker.connect({ version: 5, clientId: principal, username: `acme/${principal}`, keepAlive: 0, ...more })

describe.each(versions)("mount, version %d", (version) => {
  test("clients live below their own prefix and do not see it", () =>
    withBroker(options, async (broker) => {
      const admin = await connect(broker, "admin")
      await admin.subscribe("#")
      const ada = await connect(broker, "ada", { version })
      const bob = await connect(broker, "bob", { version })
      for (const client of [ada, bob]) await client.subscribe("#")
      await ada.send(raw.publish({ version, topic: "room/1", payload: "hers" }))
      await bob.send(raw.publish({ version, topic: "room/1", payload: "his" }))
      for (const [client, payload] of [
        [ada, "hers"],
        [bob, "his"]
      ] as const) {
        const packet = await client.expect("publish")
        expect([packet.topic, packet.payload.toString()]).toEqual(["room/1", payload])
        await client.quiet()
      }
      const topics = [(await admin.expect("publish")).topic, (await admin.expect("publish")).topic]
      expect(topics.sort()).toEqual(["users/ada/room/1", "users/bob/room/1"])
    }))

  test("what is retained below it is found there, and only there", () =>
    withBroker(options, async (broker) => {
      const ada = await connect(broker, "ada", { version })
      await ada.publish("kept", "hers", { retain: true })
      await ada.subscribe("+")
      expect(await ada.expect("publish")).toMatchObject({ topic: "kept", retain: true })
      const bob = await connect(broker, "bob", { version })
      await bob.subscribe("#")
      await bob.quiet()
    }))

  test("wills are published below it", () =>
    withBroker(options, async (broker) => {
      const admin = await connect(broker, "admin")
      await admin.subscribe("users/#")
      const ada = await connect(broker, "ada", { version, will: { topic: "gone" } })
      ada.drop()
      expect((await admin.expect("publish")).topic).toBe("users/ada/gone")
    }))

  test("shared subscriptions are shared among those below it", () =>
    withBroker(options, async (broker) => {
      const ada = await connect(broker, "ada", { version })
      const bob = await connect(broker, "bob", { version })
      for (const client of [ada, bob]) await client.subscribe(["$share/g/jobs", 0])
      for (const payload of ["1", "2"]) {
        await ada.send(raw.publish({ version, topic: "jobs", payload }))
        const packet = await ada.expect("publish")
        expect([packet.topic, packet.payload.toString()]).toEqual(["jobs", payload])
      }
      await bob.quiet()
    }))

  test("a subscription is given up by the name that the client gave it", () =>
    withBroker(options, async (broker) => {
      const ada = await connect(broker, "ada", { version })
      await ada.subscribe("a", "$share/g/b")
      await ada.send(raw.unsubscribe({ version, filters: ["a", "$share/g/b"] }))
      await ada.expect("unsuback")
      await broker.settle()
      expect(broker.broker.census().subscriptions).toBe(0)
    }))

  test("[MQTT-4.7.2-1] topics that begin with $ are not taken, lest a wildcard match them", () =>
    withBroker(options, async (broker) => {
      const ada = await connect(broker, "ada", { version })
      await ada.subscribe("#")
      await ada.send(raw.publish({ version, topic: "$private", qos: 1, packetId: 1 }))
      expect((await ada.expect("puback")).reasonCode ?? 0).toBe(version === 5 ? 0x87 : 0)
      await ada.send(raw.subscribe({ version, filters: ["$private/#", "$SYS/#"] }))
      expect((await ada.expect("suback")).granted).toEqual(version === 5 ? [0x87, 0x87] : [0x80, 0x80])
      await ada.quiet()
    }))

  test.each(["a/b", "+", "#", "a+"])("attack 13: a client named %j is not let in", (clientId) =>
    withBroker({ policy: TenantPolicy.layer(mount(`devices/\${clientId}/`)) }, async (broker) => {
      const client = broker.open(version)
      await client.send(raw.connect({ version, clientId }))
      const connack = await client.expect("connack")
      expect(version === 5 ? connack.reasonCode : connack.returnCode).toBe(version === 5 ? 0x87 : 5)
      await client.expectClosed()
    })
  )
})

describe("mount", () => {
  test("response topics are mounted too, and those of others are not shown", () =>
    withBroker(options, async (broker) => {
      const admin = await connect(broker, "admin")
      await admin.subscribe("users/#")
      const ada = await connect(broker, "ada")
      await ada.subscribe("#")
      const asking = { properties: encodeProperties({ responseTopic: "answers" }) }
      await ada.send(raw.publish({ version: 5, topic: "ask", ...asking }))
      expect(await admin.expect("publish")).toMatchObject({
        topic: "users/ada/ask",
        properties: { responseTopic: "users/ada/answers" }
      })
      expect(await ada.expect("publish")).toMatchObject({
        topic: "ask",
        properties: { responseTopic: "answers" }
      })
      await admin.send(raw.publish({ version: 5, topic: "users/ada/ask", ...asking }))
      const packet = await ada.expect("publish")
      expect([packet.topic, packet.properties?.responseTopic]).toEqual(["ask", undefined])
    }))

  test("the level above the prefix is not below it", () =>
    withBroker(options, async (broker) => {
      const admin = await connect(broker, "admin")
      const ada = await connect(broker, "ada")
      await ada.subscribe("#")
      for (const topic of ["users/ada", "users/ada/", "users/ada/x"]) await admin.publish(topic)
      expect((await ada.expect("publish")).topic).toBe("x")
      await ada.quiet()
    }))

  test("permissions see the whole names", () =>
    withBroker(
      {
        ...options,
        authorizer: Authorizer.layerRules(({ principal }) => [
          { permission: "allow", action: "publish", topicFilter: `users/${principal}/out/#` },
          { permission: "allow", action: "subscribe", topicFilter: `users/${principal}/in/#` }
        ])
      },
      async (broker) => {
        const ada = await connect(broker, "ada")
        const codes: Array<unknown> = []
        for (const topic of ["out/1", "users/ada/out/1"]) {
          await ada.send(raw.publish({ version: 5, topic, qos: 1, packetId: 1 }))
          codes.push((await ada.expect("puback")).reasonCode)
        }
        await ada.send(raw.subscribe({ version: 5, filters: ["in/#", "#"] }))
        codes.push((await ada.expect("suback")).granted)
        expect(codes).toEqual([0x10, 0x87, [0, 0x87]])
      }
    ))

  test("a will that is due after a restart is mounted by what is on record of its client", async () => {
    const stored = new DurableState()
    const more = { clean: false, properties: encodeProperties({ sessionExpiryInterval: 3600 }) }
    await withBroker({ ...options, stored }, async (broker) => {
      const admin = await connect(broker, "admin", more)
      await admin.subscribe(["#", 1])
      const delay = encodeProperties({ willDelayInterval: 60 })
      const ada = await connect(broker, "ada", {
        ...more,
        will: { topic: "gone", qos: 1, properties: delay }
      })
      ada.drop()
      await broker.settle()
    })
    await withBroker({ ...options, stored }, async (broker) => {
      const admin = await connect(broker, "admin", more)
      await broker.advance(61_000)
      expect((await admin.expect("publish")).topic).toBe("users/ada/gone")
    })
  })

  test("a check before it sees the client's own names, on the way in and on the way out", () => {
    const seen: Array<string> = []
    const check = {
      publish: ({ topic }: { readonly topic: string }) => {
        seen.push(`in ${topic}`)
        return topic === "bad" ? refuse(0x87, "no") : allow
      },
      deliver: ({ topic }: { readonly topic: string }) => {
        seen.push(`out ${topic}`)
        return allow
      }
    }
    return withBroker(
      { ...options, policy: TenantPolicy.layer(composed(check, mounted)) },
      async (broker) => {
        const ada = await connect(broker, "ada")
        await ada.subscribe("#")
        for (const topic of ["bad", "good"]) {
          await ada.send(raw.publish({ version: 5, topic }))
        }
        expect((await ada.expect("publish")).topic).toBe("good")
        expect(seen).toEqual(["in bad", "in good", "out good"])
      }
    )
  })

  test.each([
    ["", "ends in no /"],
    ["users", "ends in no /"],
    ["$SYS/", "is the server's"],
    ["a/+/", "has a wildcard"],
    [`users/\${nobody}/`, "names what is not known"],
    [`users/\${username}/`, "names what the client has not said"]
  ])("the prefix %j, which %s, lets nobody in", (prefix) =>
    withBroker({ policy: TenantPolicy.layer(mount(prefix)) }, async (broker) => {
      const client = broker.open(5)
      await client.send(raw.connect({ version: 5 }))
      expect((await client.expect("connack")).reasonCode).toBe(0x87)
    })
  )
})
