/** A checker that cannot fail is worthless: what it must see, one after the other. */

import { describe, expect, test } from "bun:test"
import { check } from "./check.ts"
import { Log, type Qos, type SubscriberLog } from "./Log.ts"

/** Three messages that came as they should, and a retained one. */
const scene = (): {
  readonly log: Log
  readonly subscriber: SubscriberLog
  readonly retained: Map<string, string>
} => {
  let atMs = 0
  const log = new Log(() => ++atMs)
  const subscriber = subscribe(log, "s", "t/#")
  for (const sequence of [1, 2, 3]) send(log, `p/a/${sequence}`, "t/a", sequence)
  for (const sequence of [1, 2]) send(log, `r/a/${sequence}`, "retained/a", sequence)
  for (const id of ["p/a/1", "p/a/2", "p/a/3"]) receive(subscriber, id, "t/a")
  return { log, subscriber, retained: new Map([["retained/a", "r/a/2"]]) }
}

const subscribe = (log: Log, clientId: string, topicFilter: string, group?: string): SubscriberLog => {
  const subscriber: SubscriberLog = {
    ...{ clientId, topicFilter, qos: 2, isPersistent: true, group, subscribedAtMs: log.nowMs(), receipts: [] }
  }
  log.subscribers.push(subscriber)
  return subscriber
}

const send = (log: Log, id: string, topic: string, sequence: number, qos: Qos = 2): void => {
  const [publisher = ""] = id.split("/")
  const sentAtMs = log.nowMs()
  log.messages.set(id, {
    ...{ id, publisher, topic, qos, sequence, sentAtMs, acknowledgedAtMs: log.nowMs() }
  })
}

const receive = ({ receipts }: SubscriberLog, id: string, topic: string): void => {
  receipts.push({ id, topic, qos: 2, isRetained: false, atMs: 0 })
}

const found = ({ log, retained }: ReturnType<typeof scene>): ReadonlyArray<string> => {
  check(log, retained)
  return log.violations.map(({ what }) => what.replace("round 0: ", ""))
}

describe("the checker", () => {
  test("is content with what was promised", () => expect(found(scene())).toEqual([]))

  test("sees that a message is lost", () => {
    const all = scene()
    all.subscriber.receipts.splice(1, 1)
    expect(found(all)).toEqual(["s never gets p/a/2, which was acknowledged"])
  })

  test("lets one be lost that was not acknowledged, or sent before the subscription", () => {
    const all = scene()
    const lost = all.log.messages.get("p/a/2")
    if (lost !== undefined) lost.acknowledgedAtMs = undefined
    all.subscriber.receipts.splice(1, 1)
    expect(found(all)).toEqual([])
    const late = scene()
    late.subscriber.subscribedAtMs = 1000
    late.subscriber.receipts.splice(0)
    expect(found(late)).toEqual([])
  })

  test("sees that a QoS 2 message comes twice", () => {
    const all = scene()
    receive(all.subscriber, "p/a/1", "t/a")
    expect(found(all)).toEqual(["s gets p/a/1 2 times"])
  })

  test("sees the wrong order", () => {
    const all = scene()
    all.subscriber.receipts.reverse()
    expect(found(all)).toEqual(["s gets p/a/2 after p/a/3", "s gets p/a/1 after p/a/3"])
  })

  test("sees what nobody sent, and what is not for the subscriber", () => {
    const all = scene()
    receive(all.subscriber, "x/a/1", "t/a")
    receive(all.subscriber, "r/a/1", "retained/a")
    expect(found(all)).toEqual(["s gets x/a/1, which nobody sent", "s gets r/a/1, not for t/#"])
  })

  test("looks at a shared subscription as a whole", () => {
    const all = scene()
    const members = ["m", "n"].map((name) => subscribe(all.log, name, "$share/g/t/#", "g"))
    for (const member of members) member.subscribedAtMs = 0
    receive(members[0]!, "p/a/1", "t/a")
    receive(members[1]!, "p/a/2", "t/a")
    receive(members[1]!, "p/a/1", "t/a")
    expect(found(all)).toEqual(["g gets p/a/1 2 times", "g never gets p/a/3, which was acknowledged"])
  })

  test("sees that a will did not go out, or twice, or of one that left in order", () => {
    const all = scene()
    const mourner = subscribe(all.log, "m", "wills/#")
    const will = (id: string, fate: "fires" | "silent") =>
      all.log.wills.push({ id, topic: "wills/w", qos: 2, sinceMs: all.log.nowMs(), isArmed: true, fate })
    will("w/will/1", "fires")
    will("w/will/2", "fires")
    will("w/will/3", "silent")
    for (const id of ["w/will/2", "w/will/2", "w/will/3"]) receive(mourner, id, "wills/w")
    expect(found(all)).toEqual([
      "m never gets the will w/will/1",
      "m gets the will w/will/2 2 times",
      "m gets the will w/will/3 of one that left"
    ])
  })

  test("sees that a retained message is older than one that was acknowledged", () => {
    const all = scene()
    all.retained.set("retained/a", "r/a/1")
    expect(found(all)).toEqual(["retained/a has retained r/a/1, and r/a/2 was acknowledged"])
    const none = scene()
    none.retained.clear()
    expect(found(none)).toEqual(["retained/a has retained nothing, and r/a/2 was acknowledged"])
  })
})
