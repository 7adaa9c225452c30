/** Attack 16 as a property: whatever happens, nobody is sent what the rules in force deny. */

import { expect, test } from "bun:test"
import * as fc from "effect/FastCheck"
import { ChangingRules } from "../support/changingRules.ts"
import { properties, type RawConnect, raw } from "../support/raw.ts"
import { type TestBroker, type TestClient, withBroker } from "../support/testBroker.ts"
import { referenceMatch } from "../topic/reference.ts"

type Step =
  | { readonly _tag: "Publish"; readonly topic: string; readonly qos: number; readonly retain: boolean }
  | { readonly _tag: "Subscribe"; readonly filter: string; readonly qos: number; readonly isShared: boolean }
  | { readonly _tag: "Change"; readonly rules: ReadonlyArray<string>; readonly isTold: boolean }
  /** The client is away while these are published, and the rules may change meanwhile. */
  | {
      readonly _tag: "Away"
      readonly topics: ReadonlyArray<string>
      readonly rules: ReadonlyArray<string> | undefined
      readonly isTold: boolean
    }

// Few of each, so that most messages concern most filters.
const topic = fc.constantFrom("a", "b", "a/a", "a/b", "b/a")
const filter = fc.constantFrom("#", "a/#", "b/#", "+", "+/a", "a/+", "a", "a/b")

const rule = fc
  .tuple(fc.constantFrom("allow subscribe", "deny subscribe", "allow all"), filter)
  .map(([verb, filter]) => `${verb} ${filter}`)
const rules = fc
  .tuple(fc.array(rule, { maxLength: 3 }), fc.nat(3))
  .map(([list, end]) => (end > 0 ? [...list, "allow all #"] : list))
const qos = fc.constantFrom(0, 1, 2)

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    arbitrary: fc.record<Step>({
      _tag: fc.constant("Publish" as const),
      topic,
      qos,
      retain: fc.boolean()
    }),
    weight: 8
  },
  {
    arbitrary: fc.record<Step>({
      _tag: fc.constant("Subscribe" as const),
      filter,
      qos,
      isShared: fc.boolean()
    }),
    weight: 4
  },
  {
    arbitrary: fc.record<Step>({ _tag: fc.constant("Change" as const), rules, isTold: fc.boolean() }),
    weight: 2
  },
  {
    arbitrary: fc.record<Step>({
      _tag: fc.constant("Away" as const),
      topics: fc.array(topic, { maxLength: 4 }),
      rules: fc.option(rules, { nil: undefined }),
      isTold: fc.boolean()
    }),
    weight: 3
  }
)

const connection: RawConnect = {
  version: 5,
  clientId: "client",
  clean: false,
  properties: properties.sessionExpiryInterval(3600)
}

/** The topics that have come, `before` of them earlier; every other message is acknowledged. */
const receive = async (client: TestClient, before: number): Promise<ReadonlyArray<string>> => {
  const topics: Array<string> = []
  await client.send(raw.pingreq())
  for (;;) {
    const packet = await client.next()
    if (packet === undefined || packet.cmd === "pingresp") return topics
    if (packet.cmd === "pubrel") await client.send(raw.pubcomp({ packetId: packet.messageId ?? 0 }))
    if (packet.cmd !== "publish") continue
    topics.push(packet.topic)
    const packetId = packet.messageId ?? 0
    if (packet.qos === 0 || (before + topics.length) % 2 === 0) continue
    await client.send(packet.qos === 1 ? raw.puback({ packetId }) : raw.pubrec({ packetId }))
  }
}

const allows = (list: ReadonlyArray<string>, topic: string): boolean =>
  list.find((each) => referenceMatch(each.split(" ")[2] ?? "", topic))?.startsWith("allow") === true

const publish = async (
  admin: TestClient,
  message: { readonly topic: string; readonly qos: number; readonly retain: boolean }
): Promise<void> => {
  await admin.send(raw.publish({ version: 5, ...message, packetId: 1 }))
  if (message.qos === 2) await admin.send(raw.pubrel({ packetId: 1 }))
  await admin.send(raw.pingreq())
  while ((await admin.next())?.cmd !== "pingresp");
}

const again = async (broker: TestBroker, client: TestClient): Promise<TestClient> => {
  client.drop()
  await broker.settle()
  return broker.connect(connection)
}

/** How many messages have come. */
const play = async (broker: TestBroker, changing: ChangingRules, steps: ReadonlyArray<Step>) => {
  const admin = await broker.connect({ version: 5, clientId: "admin" })
  let client = await broker.connect(connection)
  await client.subscribe(["#", 2], ["a/#", 1], ["+", 0])
  let inForce: ReadonlyArray<string> = ["allow all #"]
  let received = 0
  const check = async (): Promise<void> => {
    await broker.settle()
    const topics = await receive(client, received)
    received += topics.length
    expect(topics.filter((topic) => !allows(inForce, topic))).toEqual([])
  }
  for (const [index, each] of steps.entries()) {
    switch (each._tag) {
      case "Publish":
        await publish(admin, each)
        break
      case "Subscribe": {
        const filter = each.isShared ? `$share/g/${each.filter}` : each.filter
        await client.send(raw.subscribe({ version: 5, packetId: 1 + index, filters: [[filter, each.qos]] }))
        break
      }
      case "Change":
        // What is on its way by then was sent under the old rules.
        await check()
        inForce = each.rules
        changing.set(...each.rules)
        if (each.isTold) broker.broker.reauthorize()
        else client = await again(broker, client)
        break
      case "Away":
        client.drop()
        await broker.settle()
        for (const topic of each.topics) await publish(admin, { topic, qos: 1, retain: false })
        if (each.rules !== undefined) {
          inForce = each.rules
          changing.set(...each.rules)
          if (each.isTold) broker.broker.reauthorize()
        }
        client = await again(broker, client)
    }
    await check()
  }
  return received
}

test("attack 16: nobody is sent what the rules in force deny", async () => {
  let received = 0
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 30 }), async (steps) => {
      const changing = new ChangingRules("allow all #")
      await withBroker({ authorizer: changing.layer }, async (broker) => {
        received += await play(broker, changing, steps)
      })
    }),
    { seed: 20_261_122, numRuns: 30 }
  )
  expect(received).toBeGreaterThan(200)
}, 60_000)
