import { describe, expect, test } from "bun:test"
import { allowAll } from "../../src/auth/Authorizer.ts"
import type { SubscriptionRequest } from "../../src/protocol/Packet.ts"
import type { RetainedPage } from "../../src/router/Subscriber.ts"
import { pump } from "../../src/session/outbound.ts"
import { onRetainedPage } from "../../src/session/replay.ts"
import type { Replay } from "../../src/session/SessionState.ts"
import { onSubscribe, onUnsubscribe } from "../../src/session/subscriptions.ts"
import type { TenantSettings } from "../../src/tenant/TenantSettings.ts"
import { Machine, payloadOf, publicationOf, subscribePacket } from "./Machine.ts"

const request = (topicFilter: string, options: Partial<SubscriptionRequest> = {}): SubscriptionRequest => ({
  topicFilter,
  qos: 1,
  noLocal: false,
  retainAsPublished: false,
  retainHandling: 0,
  ...options
})

const subscribe = (machine: Machine, ...filters: ReadonlyArray<string | SubscriptionRequest>): void => {
  const subscriptions = filters.map((each) => (typeof each === "string" ? request(each) : each))
  onSubscribe(machine.state, subscribePacket({ subscriptions }), machine)
}

const unsubscribe = (machine: Machine, ...topicFilters: ReadonlyArray<string>): void =>
  onUnsubscribe(
    machine.state,
    { _tag: "Unsubscribe", packetId: 2, topicFilters, userProperties: [] },
    machine
  )

const connected = (settings: Partial<TenantSettings> = {}, version: 4 | 5 = 5): Machine => {
  const machine = new Machine(settings)
  machine.connect({ version, properties: version === 5 ? { sessionExpiryInterval: 60 } : {} })
  machine.all()
  return machine
}

/** The reason codes of the SUBACKs and UNSUBACKs that left. */
const codes = (machine: Machine) =>
  machine
    .take("Control")
    .flatMap(({ packet }) =>
      packet._tag === "Suback" || packet._tag === "Unsuback" ? [[...packet.reasonCodes]] : []
    )

describe("SUBACK", () => {
  test("[MQTT-3.8.4-1] waits for the router", () => {
    const machine = connected()
    subscribe(machine, "a")
    expect(codes(machine)).toEqual([])
    machine.subscribed()
    expect(codes(machine)).toEqual([[1]])
  })

  test("[MQTT-3.8.4-6] has a code for each filter, in their order", () => {
    const machine = connected({ topicLevelsMax: 3, subscriptionsMax: 2 })
    machine.state.permissions = { ...allowAll, subscribe: (filter) => filter !== "secret" }
    subscribe(machine, "a", "secret", "a/#/b", "a/b/c/d", "b", "c", "a")
    machine.subscribed()
    expect(codes(machine)).toEqual([[1, 0x87, 0x8f, 0x8f, 1, 0x97, 1]])
  })

  test("goes to the connection that asked, not to one that has taken over since", () => {
    const machine = connected()
    subscribe(machine, "a")
    machine.connect({ properties: { sessionExpiryInterval: 60 } })
    machine.subscribed()
    expect(codes(machine)).toEqual([])
    expect([...(machine.state.subscriptions?.keys() ?? [])]).toEqual(["a"])
  })
})

describe("while the journal is still writing", () => {
  test("the router hears of subscriptions and of their end in the client's order", () => {
    const machine = connected()
    machine.isSlowToCommit = true
    subscribe(machine, request("a", { qos: 0 }))
    subscribe(machine, request("a", { qos: 2 }))
    unsubscribe(machine, "a")
    const said = machine
      .all()
      .flatMap(
        (output): ReadonlyArray<unknown> =>
          output._tag === "Subscribed"
            ? output.subscriptions.map((held) => held.subscription.qos)
            : output._tag === "Unsubscribed"
              ? ["gone"]
              : []
      )
    expect(said).toEqual([0, 2, "gone"])
  })

  test("[MQTT-3.10.4-4] UNSUBACK waits", () => {
    const machine = connected()
    subscribe(machine, "a")
    machine.subscribed()
    machine.all()
    machine.isSlowToCommit = true
    unsubscribe(machine, "a")
    expect(codes(machine)).toEqual([])
    machine.commit()
    expect(codes(machine)).toEqual([[0]])
  })
})

describe("a session that begins anew", () => {
  test("[MQTT-3.1.2-4] does not get what was on its way to the one before", () => {
    const machine = connected()
    machine.subscribeTo({ subscriptions: [request("a")] })
    machine.connect({ clean: true })
    machine.all()
    machine.give({ payload: "old", qos: 1 })
    expect(machine.payloads()).toEqual([])
  })

  test("[MQTT-3.1.2-4] gets all that comes once the router knows", () => {
    const machine = connected()
    machine.subscribeTo({ subscriptions: [request("a")] })
    machine.connect({ clean: true })
    subscribe(machine, "b")
    machine.give({ payload: "old", qos: 1 })
    machine.subscribed()
    machine.give({ payload: "new", qos: 1 })
    expect(machine.payloads()).toEqual(["new"])
  })

  test("one that held no subscriptions waits for nobody", () => {
    const machine = connected()
    machine.connect({ clean: true })
    machine.all()
    machine.give({ payload: "new" })
    expect(machine.payloads()).toEqual(["new"])
  })
})

describe("UNSUBSCRIBE", () => {
  test("[MQTT-3.10.4-4] [MQTT-3.11.3-1] compares filters character by character and answers each", () => {
    const machine = connected()
    machine.subscribeTo({ subscriptions: [request("a/+"), request("b")] })
    machine.all()
    unsubscribe(machine, "a/b", "b", "a/+", "a/#/b")
    expect(codes(machine)).toEqual([[0x11, 0, 0, 0x8f]])
  })
})

describe("what a tenant does not offer", () => {
  const cases: ReadonlyArray<readonly [settings: Partial<TenantSettings>, filter: string, code: number]> = [
    [{ wildcardSubscriptionAvailable: false }, "a/+", 0xa2],
    [{ wildcardSubscriptionAvailable: false }, "$share/g/#", 0xa2],
    [{ sharedSubscriptionAvailable: false }, "$share/g/a", 0x9e]
  ]
  test.each(cases)("%j closes the connection of version 5 that asks for %s", (settings, filter, code) => {
    const machine = connected(settings)
    subscribe(machine, filter)
    expect(machine.take("Close").map((output) => output.reasonCode)).toEqual([code])
  })
  test.each(cases)("[v3 MQTT-3.8.3-2] %j refuses %s to earlier versions", (settings, filter, code) => {
    const machine = connected(settings, 4)
    subscribe(machine, filter)
    machine.subscribed()
    expect(codes(machine)).toEqual([[code]])
    expect(machine.take("Close")).toEqual([])
  })
})

/** The page that was asked for last, with these payloads. */
const answer = (machine: Machine, payloads: ReadonlyArray<string>, cursor?: string): void => {
  const [asked] = machine.take("Asked")
  if (asked === undefined) throw new Error("no page was asked for")
  const { limit, replay } = asked
  const page: RetainedPage = {
    _tag: "RetainedPage",
    publications: payloads.map((payload) => publicationOf({ payload, qos: 1, retain: true })),
    request: { _tag: "RetainedRequest", subscriber: machine, limit, ...replay },
    cursor
  }
  onRetainedPage(machine.state, page, machine.nowMs, machine)
}

const sent = (machine: Machine): ReadonlyArray<string> =>
  machine.take("Sent").map((output) => payloadOf(output.publication))

describe("retained messages of a new subscription", () => {
  test("[MQTT-3.3.1-9] come page by page, the next when the client has taken the last", () => {
    const machine = connected({ inflightMax: 2 })
    machine.subscribeTo({ subscriptions: [request("#")] }, true)
    answer(machine, ["1", "2", "3"], "from 4")
    expect(sent(machine)).toEqual(["1", "2"])
    expect(machine.take("Asked")).toEqual([])
    machine.ack("Puback", 1)
    expect(sent(machine)).toEqual(["3"])
    answer(machine, ["4"])
    machine.ack("Puback", 2)
    machine.ack("Puback", 3)
    expect(sent(machine)).toEqual(["4"])
    expect(machine.take("Asked")).toEqual([])
    expect(machine.state.replays ?? []).toEqual([])
  })

  test("wait for a client that does not take its bytes", () => {
    const machine = connected()
    const link = machine.state.link as { backlogBytes: number } | undefined
    if (link === undefined) throw new Error("not connected")
    link.backlogBytes = 10_000_000
    machine.subscribeTo({ subscriptions: [request("#")] }, true)
    expect(machine.take("Asked")).toEqual([])
    link.backlogBytes = 0
    pump(machine.state, machine.nowMs, machine)
    expect(machine.take("Asked").length).toBe(1)
  })

  test("[MQTT-3.3.1-8] carry RETAIN and the subscription's identifier", () => {
    const machine = connected()
    machine.subscribeTo({ subscriptions: [request("#")], subscriptionIdentifier: 7 }, true)
    answer(machine, ["1"])
    const [message] = machine.take("Sent")
    expect([message?.retain, message?.subscriptionIdentifiers]).toEqual([true, [7]])
  })

  const handling: ReadonlyArray<
    readonly [clause: string, retainHandling: 0 | 1 | 2, first: number, again: number]
  > = [
    ["[MQTT-3.3.1-9]", 0, 1, 1],
    ["[MQTT-3.3.1-10]", 1, 1, 0],
    ["[MQTT-3.3.1-11]", 2, 0, 0]
  ]
  test.each(handling)("%s with Retain Handling %i", (_clause, retainHandling, first, again) => {
    const machine = connected()
    for (const pages of [first, again]) {
      machine.subscribeTo({ subscriptions: [request("a", { retainHandling })] }, true)
      expect(machine.take("Asked").length).toBe(pages)
      machine.state.replays = undefined
      machine.state.replayAsked = false
    }
  })

  test("do not come to a shared subscription (4.8.2)", () => {
    const machine = connected()
    machine.subscribeTo({ subscriptions: [request("$share/g/a")] }, true)
    expect(machine.take("Asked")).toEqual([])
  })

  test("[MQTT-3.10.4-2] stop with UNSUBSCRIBE; those of other filters go on", () => {
    const machine = connected()
    machine.subscribeTo({ subscriptions: [request("a/#"), request("b/#")] }, true)
    const [asked] = machine.take("Asked")
    unsubscribe(machine, "a/#")
    expect(asked?.replay.topicFilter).toBe("a/#")
    answer(machine, ["b"])
    expect(sent(machine)).toEqual(["b"])
  })

  /** The answer to a request, as the router would give it. */
  const answerTo = (
    machine: Machine,
    asked: { readonly replay: Replay } | undefined,
    cursor?: string
  ): void => {
    if (asked === undefined) throw new MissingRequest()
    onRetainedPage(
      machine.state,
      {
        _tag: "RetainedPage",
        publications: [publicationOf({ payload: "late", retain: true })],
        request: { _tag: "RetainedRequest", subscriber: machine, limit: 1, ...asked.replay },
        cursor
      },
      machine.nowMs,
      machine
    )
  }

  test("go on when the session is resumed, and a page that two connections asked for counts once", () => {
    const machine = connected()
    machine.subscribeTo({ subscriptions: [request("#")] }, true)
    const [asked] = machine.take("Asked")
    machine.lose()
    answerTo(machine, asked, "a")
    machine.connect({ properties: { sessionExpiryInterval: 60 } })
    const [askedAgain] = machine.take("Asked")
    answerTo(machine, askedAgain, "a")
    answerTo(machine, asked, "a")
    expect(sent(machine)).toEqual(["late"])
    expect(machine.take("Asked").map(({ replay }) => replay.from)).toEqual(["a"])
  })

  test("end with a session that ends with its connection", () => {
    const machine = new Machine()
    machine.connect({ properties: {} })
    machine.subscribeTo({ subscriptions: [request("#")] }, true)
    const [asked] = machine.take("Asked")
    machine.lose()
    machine.connect({ properties: {} })
    machine.all()
    answerTo(machine, asked)
    expect(sent(machine)).toEqual([])
  })
})

class MissingRequest extends Error {
  override readonly message = "no page was asked for"
}
