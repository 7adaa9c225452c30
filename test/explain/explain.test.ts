/** Explanations: each step of a refusal or a delivery is found by its question, from live state. */

import { describe, expect, test } from "bun:test"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { AclRule } from "../../src/auth/Acl.ts"
import { Authorizer } from "../../src/auth/Authorizer.ts"
import { type Explanation, explanationText, type Question } from "../../src/explain/Explanation.ts"
import { type Administered, administered } from "../control/administered.ts"
import { properties, raw } from "../support/raw.ts"

const run = Effect.runPromise

const question: Question = {
  tenant: "a",
  clientId: "c",
  action: "publish",
  topic: "t",
  qos: 0,
  retain: false
}

const ask = ({ broker, explain }: Administered, more: Partial<Question> = {}): Promise<Explanation> =>
  run(Effect.withClock(explain({ ...question, ...more }), broker.clock))

/** What a step says, by its name. */
const told = ({ steps }: Explanation, step: string): ReadonlyArray<string> =>
  steps.filter((each) => each.step === step).map(({ detail, finding }) => `${finding}: ${detail}`)

const lasting = { version: 5, clean: false, properties: properties.sessionExpiryInterval(600) } as const

const rules: ReadonlyArray<AclRule> = [
  { permission: "deny", action: "all", topicFilter: "secret/#" },
  { permission: "allow", action: "all", topicFilter: "#" }
]

describe("the tenant", () => {
  test("that nobody knows is not found, whoever asks", () =>
    administered({ table: { firstSight: "refuse" } }, async ({ explain }) => {
      expect(await run(Effect.flip(explain(question)))).toMatchObject({ tenant: "a", isUnknown: true })
    }))

  test("that is suspended says no", () =>
    administered({}, async (all) => {
      await all.broker.connect({ version: 5, clientId: "c", username: "a/x" })
      expect((await ask(all, { action: "connect", topic: "" })).verdict).toBe("yes")
      await run(all.admin.enterState("a", "suspended"))
      const explanation = await ask(all, { action: "connect", topic: "" })
      expect(explanation.verdict).toBe("no")
      expect(told(explanation, "tenant")).toEqual(["no: a is suspended"])
    }))
})

describe("connect", () => {
  test("finds no room where there is none, but for the session that is there", () =>
    administered({}, async (all) => {
      await run(all.admin.create("a", { connectionsMax: 1, sessionsMax: 1, mqtt31: false }))
      const before = await ask(all, { action: "connect", topic: "" })
      expect(told(before, "limits")).toEqual(["note: clients of MQTT 3.1 (mqtt31) are turned off"])
      await all.broker.connect({ version: 5, clientId: "first", username: "a/x" })
      const full = await ask(all, { action: "connect", topic: "" })
      expect(full.verdict).toBe("no")
      expect(told(full, "limits").filter((step) => step.startsWith("no:"))).toHaveLength(2)
      expect((await ask(all, { action: "connect", topic: "", clientId: "first" })).verdict).toBe("yes")
    }))
})

describe("publish", () => {
  test("names those who would get it, the groups, and what is retained", () =>
    administered({}, async (all) => {
      const { broker } = all
      const absent = await broker.connect({ ...lasting, clientId: "s", username: "a/x" })
      await absent.subscribe(["t", 1])
      absent.drop()
      const live = await broker.connect({ version: 5, clientId: "l", username: "a/x" })
      await live.subscribe(["+", 0], ["$share/g/t", 1])
      const publisher = await broker.connect({ version: 5, clientId: "c", username: "a/x" })
      await publisher.publish("t", "abc", { retain: true })
      await live.expect("publish")
      await broker.settle()
      const explanation = await ask(all)
      expect(explanation.verdict).toBe("yes")
      const [named, group] = told(explanation, "subscribers")
      expect(named).toContain("note: 2: ")
      expect(named).toContain("s (QoS 1, absent: kept for it)")
      expect(named).toContain("l (QoS 0)")
      expect(group).toBe("note: group g on t: one of 1 (round-robin)")
      expect(told(explanation, "retained")).toEqual(["note: 3 bytes, QoS 1, published by c"])
      expect(told(await ask(all, { topic: "else/where" }), "subscribers")).toEqual([
        "note: nobody subscribes to it"
      ])
    }))

  test("is denied by a rule, which is named", () =>
    administered({ authorizer: Authorizer.layerRules(() => rules) }, async (all) => {
      await all.broker.connect({ version: 5, clientId: "c", username: "a/x" })
      const explanation = await ask(all, { topic: "secret/x" })
      expect(explanation.verdict).toBe("no")
      expect(told(explanation, "permission").join()).toContain("secret/#")
      expect((await ask(all, { topic: "open" })).verdict).toBe("yes")
    }))

  test("is decided by an authorizer that suspends, or fails", () => {
    const permissions = {
      subscribe: () => true,
      deliver: undefined,
      publish: (topic: string) => (topic === "bug" ? Effect.die("a bug") : Effect.succeed(topic === "yes"))
    }
    const authorizer = Layer.succeed(Authorizer, { permissions: () => Effect.succeed(permissions) })
    return administered({ authorizer }, async (all) => {
      await all.broker.connect({ version: 5, clientId: "c", username: "a/x" })
      for (const [topic, verdict] of [
        ["yes", "yes"],
        ["nay", "no"],
        ["bug", "no"]
      ] as const) {
        expect((await ask(all, { topic })).verdict).toBe(verdict)
      }
    })
  })

  test.each([
    ["a topic with a wildcard", { topic: "a/#" }],
    ["a topic of the server's", { topic: "$SYS/x" }],
    ["too high a QoS", { qos: 2 }],
    ["a retained message", { retain: true }]
  ] as const)("is stopped by the tenant's settings: %s", (_, more) =>
    administered({}, async (all) => {
      await run(all.admin.create("a", { maximumQos: 1, retainAvailable: false }))
      const before = await ask(all, more)
      expect(before.steps.filter(({ finding }) => finding === "no").map(({ step }) => step)).toEqual([
        "limits"
      ])
      await all.broker.connect({ version: 5, clientId: "c", username: "a/x" })
      expect((await ask(all, more)).verdict).toBe("no")
    })
  )

  test("of a client without a session cannot be told", () =>
    administered({}, async (all) => {
      const explanation = await ask(all)
      expect(explanation.verdict).toBe("unknown")
      expect(told(explanation, "permission")[0]).toStartWith("unknown: ")
    }))

  test("waits for an authorizer that has not answered, and that is said", () => {
    const answer = Effect.runSync(Deferred.make<boolean>())
    const permissions = { subscribe: () => true, deliver: undefined, publish: () => Deferred.await(answer) }
    const authorizer = Layer.succeed(Authorizer, { permissions: () => Effect.succeed(permissions) })
    return administered({ authorizer }, async (all) => {
      const client = await all.broker.connect({ version: 5, clientId: "c", username: "a/x" })
      await client.send(raw.publish({ version: 5, topic: "t", qos: 1, packetId: 1 }))
      await all.broker.settle()
      const explanation = await ask(all, { action: "subscribe" })
      expect(told(explanation, "session").join()).toContain(
        "its client is not read: it waits for the authorizer"
      )
      Effect.runSync(Deferred.succeed(answer, true))
      await client.expect("puback")
      expect(told(await ask(all, { action: "subscribe" }), "session").join()).not.toContain("not read")
    })
  })
})

describe("subscribe", () => {
  test("is judged as a whole filter, without the share in front", () =>
    administered({ authorizer: Authorizer.layerRules(() => rules) }, async (all) => {
      await all.broker.connect({ version: 5, clientId: "c", username: "a/x" })
      const verdicts: Array<string> = []
      for (const topic of ["secret/a", "$share/g/secret/#", "open/#", "$share//x", "a#"]) {
        verdicts.push((await ask(all, { action: "subscribe", topic })).verdict)
      }
      expect(verdicts).toEqual(["no", "no", "yes", "no", "no"])
    }))
})

describe("receive", () => {
  test("names the subscriptions that match, and a rule that withholds the topic", () =>
    administered({ authorizer: Authorizer.layerRules(() => rules) }, async (all) => {
      const client = await all.broker.connect({ version: 5, clientId: "c", username: "a/x" })
      await client.subscribe(["#", 1], ["$share/g/+", 0], ["other", 2])
      const explanation = await ask(all, { action: "receive", topic: "t" })
      expect(explanation.verdict).toBe("yes")
      expect(told(explanation, "subscriptions")).toEqual(["yes: # (QoS 1), $share/g/+ (QoS 0)"])
      const secret = await ask(all, { action: "receive", topic: "secret/x" })
      expect(secret.verdict).toBe("no")
      expect(told(secret, "permission")[0]).toStartWith("no: ")
    }))

  test("says no without a subscription or a session", () =>
    administered({}, async (all) => {
      const nobody = await ask(all, { action: "receive" })
      expect(nobody.verdict).toBe("no")
      const client = await all.broker.connect({ ...lasting, clientId: "c", username: "a/x" })
      await client.subscribe("other")
      expect((await ask(all, { action: "receive" })).verdict).toBe("no")
    }))

  test("shows what waits for an absent client, and when its session ends", () =>
    administered({}, async (all) => {
      const { broker } = all
      const client = await broker.connect({
        ...lasting,
        clientId: "c",
        username: "a/x",
        will: { topic: "w" }
      })
      await client.subscribe(["t", 1])
      client.drop()
      const publisher = await broker.connect({ version: 5, clientId: "p", username: "a/x" })
      for (let index = 0; index < 3; index++) await publisher.publish("t", "12345")
      await broker.advance(10_000)
      const session = told(await ask(all, { action: "receive" }), "session").join("\n")
      expect(session).toContain("of x, not connected; its session ends in 590 s")
      expect(session).toContain("3 messages (")
    }))

  test("shows that a client owes acknowledgements", () =>
    administered({}, async (all) => {
      const { broker } = all
      const receiveMaximum = properties.receiveMaximum(1)
      const client = await broker.connect({
        version: 5,
        clientId: "c",
        username: "a/x",
        properties: receiveMaximum
      })
      await client.subscribe(["t", 1])
      const publisher = await broker.connect({ version: 5, clientId: "p", username: "a/x" })
      for (let index = 0; index < 3; index++) await publisher.publish("t")
      await broker.settle()
      const session = told(await ask(all, { action: "receive" }), "session").join("\n")
      expect(session).toContain("1 of 1 messages are sent and not acknowledged: nothing more is sent")
    }))
})

test("what went wrong lately is told with its reason", () =>
  administered({ authorizer: Authorizer.layerRules(() => rules) }, async (all) => {
    const client = await all.broker.connect({ version: 5, clientId: "c", username: "a/x" })
    await client.send(raw.publish({ version: 5, topic: "secret/x", qos: 1, packetId: 1 }))
    await client.expect("puback")
    const lately = told(await ask(all), "lately")
    expect(lately).toHaveLength(1)
    expect(lately[0]).toContain("PublishRefused")
    expect(lately[0]).toContain("(secret/x)")
  }))

test("a ban is told with its reason", () =>
  administered({}, async (all) => {
    const subject = { _tag: "Client", tenant: "a", clientId: "c" } as const
    await run(all.admin.create("a", {}))
    await run(all.bans.add({ subject, reason: "it floods", untilMs: undefined }))
    const explanation = await ask(all, { action: "connect", topic: "" })
    expect(explanation.verdict).toBe("no")
    expect(told(explanation, "bans")).toEqual(["no: the client is banned for good: it floods"])
  }))

test("another tenant's client of the same name is not looked at", () =>
  administered({}, async (all) => {
    const other = await all.broker.connect({ version: 5, clientId: "c", username: "b/x" })
    await other.subscribe("t")
    await all.broker.connect({ version: 5, clientId: "d", username: "a/x" })
    const explanation = await ask(all, { action: "receive" })
    expect(told(explanation, "session")).toEqual([
      "no: the client is not connected, and there is no session of it"
    ])
    expect(told(explanation, "subscriptions")).toEqual(["no: none of the client's subscriptions matches t"])
  }))

test("as text it is one line for the question and one for each step", () => {
  const text = explanationText({
    question: { ...question, retain: true, qos: 1 },
    verdict: "no",
    steps: [
      { step: "tenant", finding: "yes", detail: "a is active" },
      { step: "limits", finding: "no", detail: "no retained messages" }
    ]
  })
  expect(text).toBe(
    [
      "May client c of tenant a publish to t (QoS 1, retained)?: no",
      "  ok  tenant  a is active",
      "  NO  limits  no retained messages"
    ].join("\n")
  )
})
