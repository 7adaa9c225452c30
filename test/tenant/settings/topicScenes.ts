/** Topics, filters, shared subscriptions, who gets a message, what is retained. */

import { expect } from "bun:test"
import { properties, raw } from "../../support/raw.ts"
import type { Scene, Stage } from "./Scene.ts"

/** A filter that is not available: a version 5 client was told, so it is closed. */
const unavailable = async (stage: Stage, filter: string, reasonCode: number): Promise<void> => {
  const client = await stage.connect()
  await client.send(raw.subscribe({ version: stage.version, filters: [filter] }))
  if (stage.isVersion5) return stage.closedWith(client, reasonCode)
  expect((await client.expect("suback")).granted).toEqual([0x80])
}

/** A topic and a filter at a limit, and one of each beyond it. */
const limited =
  (good: string, bad: string) =>
  async (stage: Stage): Promise<void> => {
    const client = await stage.connect()
    expect(await stage.subscribe(client, good, bad, `$share/g/${bad}`)).toEqual(
      stage.isVersion5 ? [0, 0x8f, 0x8f] : [0, 0x80, 0x80]
    )
    await client.send(raw.publish({ version: stage.version, topic: good, payload: "good" }))
    expect((await client.expect("publish")).payload.toString()).toBe("good")
    expect(await stage.publish(client, bad)).toBe(stage.isVersion5 ? 0x90 : 0)
    expect(stage.broker.eventsOf("PublishRefused").map(({ topic }) => topic)).toEqual([bad])
  }

/** Refused as a whole: nobody has it, the publisher hears why as far as its version lets it. */
const overFanout = async (stage: Stage, payload: string): Promise<void> => {
  const subscribers = [await stage.lasting("1"), await stage.lasting("2"), await stage.lasting("3")]
  for (const [index, each] of subscribers.entries()) await each.subscribe(["t", 1], [`$share/${index}/t`, 1])
  const publisher = await stage.connect("publisher")
  expect(await stage.publish(publisher, "t", payload)).toBe(stage.isVersion5 ? 0x97 : 0)
  for (const each of subscribers) await each.quiet()
  expect(stage.broker.eventsOf("PublishRefused")).toHaveLength(1)
  expect(stage.broker.broker.counters("default")?.droppedFanout).toBe(1)
}

const retain = async (stage: Stage, topics: ReadonlyArray<string>): Promise<ReadonlyArray<number>> => {
  const publisher = await stage.connect("publisher")
  const answers: Array<number> = []
  for (const topic of topics) answers.push(await stage.publish(publisher, topic, "12345", { retain: true }))
  return answers
}

export const topicScenes = {
  wildcardSubscriptionAvailable: {
    settings: { wildcardSubscriptionAvailable: false },
    play: (stage) => unavailable(stage, "a/+", 0xa2)
  },
  subscriptionIdentifiersAvailable: {
    settings: { subscriptionIdentifiersAvailable: false },
    play: async (stage) => {
      if (!stage.isVersion5) return
      const client = await stage.connect()
      expect(client.connack?.properties?.subscriptionIdentifiersAvailable).toBe(false)
      await client.send(
        raw.subscribe({ version: 5, filters: ["a"], properties: properties.subscriptionIdentifier(1) })
      )
      await stage.closedWith(client, 0xa1)
    }
  },
  sharedSubscriptionAvailable: {
    settings: { sharedSubscriptionAvailable: false },
    play: (stage) => unavailable(stage, "$share/g/a", 0x9e)
  },
  topicLevelsMax: { settings: { topicLevelsMax: 3 }, play: limited("a/b/c", "a/b/c/d") },
  topicLevelBytesMax: { settings: { topicLevelBytesMax: 4 }, play: limited("abcd/éé", "abcd/ééa") },
  topicBytesMax: { settings: { topicBytesMax: 6 }, play: limited("ab/éa", "ab/éé") },
  subscriptionsMax: {
    settings: { subscriptionsMax: 2 },
    play: async (stage) => {
      const client = await stage.connect()
      const no = stage.isVersion5 ? 0x97 : 0x80
      expect(await stage.subscribe(client, "a", "b", "c", "a")).toEqual([0, 0, no, 0])
    }
  },
  topicFiltersPerPacketMax: {
    settings: { topicFiltersPerPacketMax: 2 },
    play: async (stage) => {
      const client = await stage.connect()
      const no = stage.isVersion5 ? 0x97 : 0x80
      expect(await stage.subscribe(client, "a", "b")).toEqual([0, 0])
      expect(await stage.subscribe(client, "a", "b", "c")).toEqual([no, no, no])
      expect(stage.broker.eventsOf("SubscribeRefused")).toHaveLength(1)
      expect(stage.broker.broker.census().subscriptions).toBe(2)
    }
  },
  sharedSubscriptionStrategy: {
    settings: { sharedSubscriptionStrategy: "hash-topic" },
    play: async (stage) => {
      const members = [await stage.connect("1"), await stage.connect("2")]
      for (const each of members) await each.subscribe("$share/g/t")
      const publisher = await stage.connect("publisher")
      for (const payload of ["1", "2", "3"]) await stage.publish(publisher, "t", payload)
      const got = [await stage.payloads(members[0]!), await stage.payloads(members[1]!)]
      expect(got.toSorted((a, b) => a.length - b.length)).toEqual([[], ["1", "2", "3"]])
    }
  },
  sharedGroupMembersMax: {
    settings: { sharedGroupMembersMax: 1 },
    play: async (stage) => {
      const [first, second] = [await stage.connect("1"), await stage.connect("2")]
      expect(await stage.subscribe(first, "$share/g/t")).toEqual([0])
      expect(await stage.subscribe(second, "$share/g/t", "$share/h/t")).toEqual(
        stage.isVersion5 ? [0x97, 0] : [0x80, 0]
      )
    }
  },
  sharedGroupFanoutMax: { settings: { sharedGroupFanoutMax: 2 }, play: (stage) => overFanout(stage, "x") },
  persistentFanoutMax: { settings: { persistentFanoutMax: 5 }, play: (stage) => overFanout(stage, "x") },
  persistentFanoutBytesMax: {
    settings: { persistentFanoutBytesMax: 59 },
    play: (stage) => overFanout(stage, "0123456789")
  },
  retainedMessagesMax: {
    settings: { retainedMessagesMax: 1 },
    play: async (stage) => {
      expect(await retain(stage, ["a", "b", "a"])).toEqual(stage.isVersion5 ? [0x10, 0x97, 0x10] : [0, 0, 0])
      expect(stage.broker.broker.counters("default")?.retainedMessages).toBe(1)
    }
  },
  retainedBytesMax: {
    settings: { retainedBytesMax: 8 },
    play: async (stage) => {
      expect(await retain(stage, ["a", "b"])).toEqual(stage.isVersion5 ? [0x10, 0x97] : [0, 0])
      expect(stage.broker.broker.counters("default")?.retainedBytes).toBe(6)
    }
  },
  retainedMatchMax: {
    settings: { retainedMatchMax: 40 },
    play: async (stage) => {
      await retain(
        stage,
        Array.from({ length: 50 }, (_, index) => `r/${index}`)
      )
      const client = await stage.connect()
      await client.subscribe("r/#")
      await stage.broker.settle()
      expect(await stage.payloads(client)).toHaveLength(40)
      const reached = stage.broker.eventsOf("QuotaReached")
      expect(reached.map(({ clientId, resource }) => [clientId, resource])).toEqual([
        ["c", "retainedMatchMax"]
      ])
      await client.subscribe("r/7")
      expect(await stage.payloads(client)).toHaveLength(1)
    }
  }
} satisfies Readonly<Record<string, Scene>>
