/** The limits on how many a message is given to, against routers of a table of subscribers. */

import { describe, expect, test } from "bun:test"
import { DeadlineWheel } from "../../src/actor/DeadlineWheel.ts"
import type { Qos } from "../../src/protocol/Packet.ts"
import { ReasonCode } from "../../src/protocol/ReasonCode.ts"
import { Router } from "../../src/router/Router.ts"
import type { CommitOutcome } from "../../src/storage/Journal.ts"
import { Counters } from "../../src/telemetry/Counters.ts"
import { defaultTenantSettings, type TenantSettings } from "../../src/tenant/TenantSettings.ts"
import { parseTopicFilter } from "../../src/topic/TopicFilter.ts"
import { handDispatcher } from "../actor/handDispatcher.ts"
import { alone, messageTo, Peer, subscriptionOf } from "./support.ts"

const rig = (settings: Partial<TenantSettings>) => {
  const { dispatcher, time } = handDispatcher()
  const counters = new Counters()
  const stored: Array<number> = []
  const router = new Router({
    tenant: "default",
    store: (records: ReadonlyArray<unknown>, committed: (outcome: CommitOutcome) => void) => {
      stored.push(records.length)
      committed(undefined)
    },
    keep: () => {},
    canStore: () => true,
    runQueue: dispatcher.runQueue(1),
    wheel: new DeadlineWheel(0),
    fork: () => expect.unreachable(),
    settings: { ...defaultTenantSettings, ...settings },
    counters,
    random: () => 0,
    forwarding: alone,
    nowMs: () => time.nowMs,
    report: () => {},
    onDefect: (defect) => expect(defect).toBeUndefined()
  })
  const subscribe = (peer: Peer, topicFilter: string, qos: Qos, token = 1) => {
    const filter = parseTopicFilter(topicFilter)
    if (filter._tag === "Invalid") return expect.unreachable()
    router.signal({
      _tag: "Subscribe",
      subscriber: peer,
      subscriptions: [[filter, subscriptionOf(peer, { qos })]],
      token
    })
    dispatcher.tick()
  }
  const publish = (qos: Qos, payload: string, retain = false): Peer => {
    const publisher = new Peer("publisher")
    router.publish(messageTo("t", { qos, payload, retain, publisher, packetId: qos }))
    dispatcher.tick()
    return publisher
  }
  return { router, counters, stored, subscribe, publish, run: () => dispatcher.tick() }
}

interface Scene {
  readonly name: string
  readonly settings: Partial<TenantSettings>
  /** Of each subscriber: its filter, its QoS, and whether it keeps what it gets. */
  readonly subscribers: ReadonlyArray<readonly [filter: string, qos: Qos, isKeeping: boolean]>
  readonly qos: Qos
  readonly payload?: string
  readonly isTaken: boolean
}

const keepers = (count: number, qos: Qos = 1) =>
  Array.from({ length: count }, (_, index) => [`${index % 2 === 0 ? "t" : "#"}`, qos, true] as const)

const scenes: ReadonlyArray<Scene> = [
  {
    name: "as many groups as may be",
    settings: { sharedGroupFanoutMax: 2 },
    subscribers: [
      ["$share/a/t", 1, false],
      ["$share/b/#", 1, false],
      ["t", 1, false]
    ],
    qos: 1,
    isTaken: true
  },
  {
    name: "one group more",
    settings: { sharedGroupFanoutMax: 2 },
    subscribers: [
      ["$share/a/t", 1, false],
      ["$share/b/#", 1, false],
      ["$oshare/a/t", 1, false],
      ["t", 1, false]
    ],
    qos: 0,
    isTaken: false
  },
  {
    name: "as many who keep it as may, beside others",
    settings: { persistentFanoutMax: 3 },
    subscribers: [...keepers(3), ["t", 1, false], ["t", 1, false]],
    qos: 1,
    isTaken: true
  },
  {
    name: "one more who keeps it",
    settings: { persistentFanoutMax: 3 },
    subscribers: [...keepers(4), ["t", 1, false]],
    qos: 2,
    isTaken: false
  },
  {
    name: "one more that is a group with somebody who would",
    settings: { persistentFanoutMax: 3 },
    subscribers: [...keepers(3), ["$share/g/t", 1, true]],
    qos: 1,
    isTaken: false
  },
  {
    name: "what nobody keeps because it is QoS 0",
    settings: { persistentFanoutMax: 3, persistentFanoutBytesMax: 1 },
    subscribers: keepers(9),
    qos: 0,
    isTaken: true
  },
  {
    name: "what nobody keeps because they want QoS 0",
    settings: { persistentFanoutMax: 3, persistentFanoutBytesMax: 1 },
    subscribers: keepers(9, 0),
    qos: 1,
    isTaken: true
  },
  {
    name: "as many bytes as may be",
    settings: { persistentFanoutBytesMax: 30 },
    subscribers: keepers(3),
    qos: 1,
    payload: "0123456789",
    isTaken: true
  },
  {
    name: "one byte more",
    settings: { persistentFanoutBytesMax: 29 },
    subscribers: keepers(3),
    qos: 1,
    payload: "0123456789",
    isTaken: false
  },
  {
    name: "no bytes at all",
    settings: { persistentFanoutBytesMax: 1 },
    subscribers: keepers(3),
    qos: 1,
    payload: "",
    isTaken: true
  }
]

describe("a message over a limit goes to nobody:", () => {
  for (const { isTaken, name, payload = "payload", qos, settings, subscribers } of scenes) {
    test(`${name}: ${isTaken ? "taken" : "refused"}`, () => {
      const { counters, publish, router, stored, subscribe } = rig(settings)
      const peers = subscribers.map(([filter, qos, isKeeping], index) => {
        const peer = new Peer(`s${index}`)
        peer.isKeeping = isKeeping
        subscribe(peer, filter, qos)
        return peer
      })
      const publisher = publish(qos, payload, true)
      expect(peers.map((peer) => peer.take().length)).toEqual(peers.map(() => (isTaken ? 1 : 0)))
      expect(publisher.outcomes.map(([, code]) => code)).toEqual(
        qos === 0 ? [] : [isTaken ? ReasonCode.Success : ReasonCode.QuotaExceeded]
      )
      expect(publisher.excesses).toHaveLength(isTaken ? 0 : 1)
      expect(counters.droppedFanout).toBe(isTaken ? 0 : 1)
      // Nothing of it is retained or stored either.
      const isRetained = isTaken && payload !== ""
      expect([counters.retainedMessages, stored.length]).toEqual([isRetained ? 1 : 0, isTaken ? 1 : 0])
      router.stop()
    })
  }

  test("a gathered unit of it is not stored", () => {
    const { router, run, stored, subscribe } = rig({ persistentFanoutMax: 1 })
    for (const name of ["a", "b"]) {
      const peer = new Peer(name)
      peer.isKeeping = true
      subscribe(peer, "t", 2)
    }
    const publisher = new Peer("publisher")
    const message = messageTo("t", { qos: 2, publisher, packetId: 7 })
    const record = {
      _tag: "Inbound",
      tenant: "t",
      clientId: "p",
      epoch: 1,
      packetId: 7,
      isReleased: false
    } as const
    message.gather(
      record,
      (records, committed) => {
        stored.push(records.length)
        committed(undefined)
      },
      true
    )
    router.publish(message)
    run()
    expect([publisher.outcomes, stored]).toEqual([[[7, ReasonCode.QuotaExceeded]], []])
  })
})

describe("the members of a shared subscription", () => {
  test("are as many as may be; one who is in it may ask again, and who was in it before comes back", () => {
    const { counters, subscribe } = rig({ sharedGroupMembersMax: 2 })
    const [a, b, c] = [new Peer("a"), new Peer("b"), new Peer("c")]
    for (const peer of [a, b, c]) subscribe(peer, "$share/g/t", 1)
    subscribe(a, "$share/g/t", 2)
    subscribe(c, "$share/other/t", 1)
    expect([a.refused, b.refused, c.refused]).toEqual([
      [],
      [],
      [{ _tag: "Shared", ordered: false, group: "g", filter: "t" }]
    ])
    expect(counters.subscriptions).toBe(3)
    subscribe(c, "$share/g/t", 1, 0)
    expect([c.refused.length, counters.subscriptions]).toEqual([1, 4])
  })
})
