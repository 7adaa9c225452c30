/** What the router puts on record: in the order in which it was routed, and as it is in memory. */

import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import { DeadlineWheel } from "../../src/actor/DeadlineWheel.ts"
import { ReasonCode } from "../../src/protocol/ReasonCode.ts"
import type { Publication } from "../../src/router/Publication.ts"
import { Router } from "../../src/router/Router.ts"
import type { DurableRecord } from "../../src/storage/DurableRecord.ts"
import { DurableState } from "../../src/storage/DurableState.ts"
import type { CommitOutcome } from "../../src/storage/Journal.ts"
import { StorageError } from "../../src/storage/StorageError.ts"
import { Counters } from "../../src/telemetry/Counters.ts"
import { defaultTenantSettings } from "../../src/tenant/TenantSettings.ts"
import { parseTopicFilter } from "../../src/topic/TopicFilter.ts"
import { handDispatcher } from "../actor/handDispatcher.ts"
import { alone, messageTo, Peer, subscriptionOf } from "./support.ts"

/** A subscriber whose copies are expected in the unit of their message, and come when the test says so. */
class Keeper extends Peer {
  private readonly expected: Array<Publication> = []

  override deliver(...args: Parameters<Peer["deliver"]>): boolean {
    if (this.isFull) return false
    const [publication] = args
    if (publication.gathering !== undefined) {
      publication.gathering.expect()
      this.expected.push(publication)
    }
    return super.deliver(...args)
  }

  contribute(): void {
    for (const publication of this.expected.splice(0)) publication.contributed()
  }
}

const full = new StorageError({ reason: "the disk is full", cause: undefined })

const rig = () => {
  const { dispatcher, time } = handDispatcher()
  const durable = new DurableState()
  const stored: Array<string> = []
  const state = { outcome: undefined as CommitOutcome, canStore: true }
  const apply = (records: ReadonlyArray<DurableRecord>) => {
    for (const record of records) {
      durable.apply(record)
      stored.push(record._tag === "Retain" ? Buffer.from(record.message.payload).toString() : record._tag)
    }
  }
  const store = (records: ReadonlyArray<DurableRecord>, committed: (outcome: CommitOutcome) => void) => {
    if (state.outcome === undefined) apply(records)
    committed(state.outcome)
  }
  const router = new Router({
    tenant: "default",
    report: () => {},
    store,
    keep: apply,
    canStore: () => state.canStore,
    runQueue: dispatcher.runQueue(1),
    wheel: new DeadlineWheel(0),
    fork: (effect) => Effect.runFork(effect),
    settings: defaultTenantSettings,
    counters: new Counters(),
    random: () => 0,
    forwarding: alone,
    nowMs: () => time.nowMs,
    onDefect: () => {}
  })
  const subscribe = (peer: Peer) => {
    const filter = parseTopicFilter("r")
    if (filter._tag === "Invalid") throw new RangeError(filter.reason)
    const subscriptions = [[filter, subscriptionOf(peer, { qos: 2 })] as const]
    router.signal({ _tag: "Subscribe", subscriber: peer, subscriptions, token: 1 })
  }
  const run = () => {
    for (let tick = 0; tick < 10; tick++) dispatcher.tick()
  }
  const publisher = new Peer("p")
  /** A retained message, at QoS 2 with an identifier that is stored with it. */
  const retain = (payload: string, qos: 0 | 1 | 2, isRefusable = true) => {
    const publication = messageTo("r", { payload, qos, retain: true, publisher, packetId: 1 })
    const key = { tenant: "default", clientId: "p", epoch: 1 }
    if (qos === 2) {
      const record = { _tag: "Inbound", ...key, packetId: 1, isReleased: false } as const
      publication.gather(record, store, isRefusable)
    }
    router.publish(publication)
  }
  const kept = () => [...durable.retained()].map(({ message }) => Buffer.from(message.payload).toString())
  return { kept, publisher, retain, run, state, stored, subscribe }
}

describe("retained messages of a topic are stored in the order in which they came", () => {
  test("[MQTT-3.3.1-5] though the copies of the first are still being made", () => {
    const { kept, retain, run, stored, subscribe } = rig()
    const keeper = new Keeper()
    subscribe(keeper)
    retain("1", 2)
    retain("2", 1)
    retain("3", 0)
    run()
    expect(stored).toEqual([])
    keeper.contribute()
    expect(stored).toEqual(["Inbound", "1", "2", "3"])
    expect(kept()).toEqual(["3"])
  })

  test("[MQTT-3.3.1-6] also when the last removes it", () => {
    const { kept, retain, run, subscribe } = rig()
    const keeper = new Keeper()
    subscribe(keeper)
    retain("1", 2)
    retain("", 0)
    run()
    keeper.contribute()
    expect(kept()).toEqual([])
  })

  test("[MQTT-3.3.1-5] though the second has nobody to wait for", () => {
    const { kept, retain, run, stored } = rig()
    retain("1", 1)
    retain("2", 2)
    run()
    expect(stored).toEqual(["1", "Inbound", "2"])
    expect(kept()).toEqual(["2"])
  })
})

test("[MQTT-4.6.0-6] units of messages are stored in the order of the messages", () => {
  const { retain, run, stored, subscribe } = rig()
  const [early, late] = [new Keeper("early"), new Keeper("late")]
  subscribe(early)
  retain("1", 2)
  run()
  subscribe(late)
  retain("2", 2)
  run()
  late.contribute()
  expect(stored).toEqual([])
  early.contribute()
  expect(stored).toEqual(["Inbound", "1", "Inbound", "2"])
})

describe("a retained message that could not be stored", () => {
  for (const qos of [0, 1, 2] as const) {
    test(`is stored when that is possible again, because it is what subscribers get: QoS ${qos}`, () => {
      const { kept, retain, run, state } = rig()
      state.outcome = full
      retain("1", qos)
      run()
      expect(kept()).toEqual(["1"])
    })
  }

  test("is not taken while nothing can be stored, unless it is kept until then", () => {
    const { kept, retain, run, state } = rig()
    state.canStore = false
    for (const qos of [0, 1, 2] as const) retain(String(qos), qos)
    run()
    expect(kept()).toEqual([])
    retain("will", 2, false)
    run()
    expect(kept()).toEqual(["will"])
  })
})

describe("[MQTT-4.3.2-4] a message that has no room in the mailbox of a session that must keep it", () => {
  for (const qos of [1, 2] as const) {
    test(`is not said to be safe: QoS ${qos}`, () => {
      const { publisher, retain, run, stored, subscribe } = rig()
      const peers = [new Keeper("there"), new Keeper("full")] as const
      for (const peer of peers) subscribe(peer)
      Object.assign(peers[1], { isFull: true, isKeeping: true })
      retain("1", qos)
      run()
      for (const peer of peers) peer.contribute()
      expect(publisher.outcomes).toEqual([[1, ReasonCode.UnspecifiedError]])
      // What it retains is what subscribers get.
      expect(stored).toEqual(["1"])
    })
  }

  test("is safe when the session keeps nothing, or it is nobody's to be told", () => {
    const { publisher, retain, run, stored, subscribe } = rig()
    const peer = new Keeper("full")
    subscribe(peer)
    peer.isFull = true
    retain("1", 2)
    run()
    expect(publisher.outcomes).toEqual([[1, ReasonCode.Success]])
    peer.isKeeping = true
    retain("will", 2, false)
    run()
    expect(stored).toEqual(["Inbound", "1", "Inbound", "will"])
  })
})
