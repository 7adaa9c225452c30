/** The actor around the machine: what becomes of its mail. */

import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import { DeadlineWheel } from "../../src/actor/DeadlineWheel.ts"
import { allowAll, answersTo, settleDecisions } from "../../src/auth/Authorizer.ts"
import { ReasonCode } from "../../src/protocol/ReasonCode.ts"
import type { Store } from "../../src/router/Gathering.ts"
import { Router } from "../../src/router/Router.ts"
import type { DeliveryOptions, Subscription } from "../../src/router/Subscriber.ts"
import { Session } from "../../src/session/Session.ts"
import type { SessionServices } from "../../src/session/SessionServices.ts"
import { SessionState } from "../../src/session/SessionState.ts"
import { Counters } from "../../src/telemetry/Counters.ts"
import { defaultTenantSettings } from "../../src/tenant/TenantSettings.ts"
import { parseTopicFilter } from "../../src/topic/TopicFilter.ts"
import { handDispatcher } from "../actor/handDispatcher.ts"
import { alone, messageTo, Peer, subscriptionOf } from "../router/support.ts"
import { identity } from "./Machine.ts"

/** A session without a client beside a router, both stepped by hand. */
const rig = () => {
  const { dispatcher, time } = handDispatcher()
  const counters = new Counters()
  const wheel = new DeadlineWheel(time.nowMs)
  const parts = {
    runQueue: dispatcher.runQueue(1),
    wheel,
    fork: <A, E>(effect: Effect.Effect<A, E>) => Effect.runFork(effect)
  }
  const nowMs = () => time.nowMs
  const journal: SessionServices["journal"] = {
    append: ({ committed }) => committed(undefined),
    status: () => "ready",
    whenRelieved: (resume) => resume()
  }
  const router = new Router({
    ...parts,
    tenant: "default",
    report: () => {},
    store: (_records, committed) => committed(undefined),
    keep: () => {},
    canStore: () => true,
    settings: defaultTenantSettings,
    counters,
    random: () => 0,
    forwarding: alone,
    nowMs,
    onDefect: (defect) => expect(defect).toBeUndefined()
  })
  const state = new SessionState("client", defaultTenantSettings, counters, identity, allowAll)
  const session = new Session({
    ...parts,
    router,
    state,
    services: {
      tracing: undefined,
      nowMs,
      journal,
      durability: () => "disk",
      readQueue: (_request, answer) => answer([]),
      report: () => {},
      settle: settleDecisions,
      answers: answersTo,
      answerLater: () => {},
      decideLater: () => {},
      authenticate: () => Effect.never,
      permissions: () => Effect.never,
      ended: () => {},
      failed: () => {}
    }
  })
  const run = () => {
    for (let tick = 0; tick < 10; tick++) dispatcher.tick()
  }
  const subscribe = (peer: Peer | Session, text: string, options: Partial<Subscription> = {}) => {
    const filter = parseTopicFilter(text)
    if (filter._tag === "Invalid") throw new RangeError(filter.reason)
    const subscriptions = [[filter, subscriptionOf(peer, options)] as const]
    router.signal({ _tag: "Subscribe", subscriber: peer, subscriptions, token: 0 })
    run()
  }
  return { counters, router, run, session, state, subscribe }
}

/** How messages of the group come to that member. */
const optionsFor = ({ router, run }: ReturnType<typeof rig>, peer: Peer): DeliveryOptions => {
  router.publish(messageTo("t", { payload: "first", qos: 1 }))
  run()
  const options = peer.deliveries[0]?.[1]
  if (options === undefined) throw new RangeError("no delivery")
  peer.take()
  return options
}

describe("a message of a shared subscription that is in the mailbox", () => {
  test("of a session that stops goes to another member", () => {
    const all = rig()
    const { router, run, session, subscribe } = all
    const other = new Peer("other")
    subscribe(other, "$share/g/t", { qos: 1 })
    const options = optionsFor(all, other)
    session.deliver(messageTo("t", { payload: "unread", qos: 1 }), options)
    session.stop()
    run()
    expect(other.take()).toEqual(["unread"])
    router.stop()
  })

  test("of a session whose client has left goes to a member whose client is there", () => {
    const all = rig()
    const { router, run, session, subscribe } = all
    const other = new Peer("other")
    subscribe(other, "$share/g/t", { qos: 1 })
    subscribe(session, "$share/g/t", { qos: 1 })
    const options = optionsFor(all, other)
    session.deliver(messageTo("t", { payload: "late", qos: 1 }), options)
    run()
    expect([other.take(), session.inflight]).toEqual([["late"], 0])
    other.isConnected = false
    session.deliver(messageTo("t", { payload: "kept", qos: 1 }), options)
    run()
    expect([other.take(), session.inflight]).toEqual([[], 1])
    router.stop()
  })

  test("of a session goes to the group that took the place of one that had lost all its members", () => {
    const all = rig()
    const { counters, router, run, session, subscribe } = all
    const before = new Peer("before")
    subscribe(before, "$share/g/t", { qos: 1 })
    const options = optionsFor(all, before)
    session.deliver(messageTo("t", { payload: "old", qos: 1 }), options)
    const filter = parseTopicFilter("$share/g/t")
    if (filter._tag !== "Shared") throw new RangeError("not shared")
    router.signal({ _tag: "Unsubscribe", subscriber: before, filters: [filter], token: 0 })
    const after = new Peer("after")
    subscribe(after, "$share/g/t", { qos: 1 })
    session.stop()
    run()
    expect([before.take(), after.take(), counters.droppedNoMembers]).toEqual([[], ["old"], 0])
    router.stop()
  })
})

const options: DeliveryOptions = {
  qos: 2,
  retainAsPublished: false,
  subscriptionIdentifiers: [],
  group: undefined,
  isRetained: false
}

/**
 * A message on its way to a session that keeps what it gets; its unit is stored when all have contributed.
 */
const onItsWay = (all: ReturnType<typeof rig>) => {
  const publisher = new Peer("publisher")
  const units: Array<number> = []
  const publication = messageTo("t", { qos: 2, publisher, packetId: 7 })
  const record = { _tag: "Inbound", tenant: "default", clientId: "publisher", epoch: 1 } as const
  const store: Store = (records, committed) => {
    units.push(records.length)
    committed(undefined)
  }
  publication.gather({ ...record, packetId: 7, isReleased: false }, store, true)
  all.state.keepsState = true
  all.session.deliver(publication, options)
  publication.contributed()
  publication.routed(ReasonCode.Success)
  return { publisher, units }
}

describe("a message in the mailbox of a session that keeps what it gets", () => {
  test("[MQTT-4.3.3-8] is safe when the session ends", () => {
    const all = rig()
    const { publisher, units } = onItsWay(all)
    all.session.stop()
    expect([units, publisher.outcomes]).toEqual([[1], [[7, ReasonCode.Success]]])
  })

  test("[MQTT-4.3.3-8] is not safe, and nothing of it is stored, when the broker stops", () => {
    const all = rig()
    const { publisher, units } = onItsWay(all)
    all.session.abandon()
    expect([units, publisher.outcomes]).toEqual([[], []])
  })

  test("does not leave its publisher waiting when the session fails over it", () => {
    const all = rig()
    const deliver = () => {
      throw new RangeError("a bug")
    }
    all.state.permissions = { ...allowAll, deliver }
    const { publisher, units } = onItsWay(all)
    all.run()
    expect([units, publisher.outcomes]).toEqual([[1], [[7, ReasonCode.Success]]])
  })
})
