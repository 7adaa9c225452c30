/**
 * What is measured and what is wanted, as data. A closed loop keeps `window` messages of each publisher under
 * way, so that it goes as fast as the broker and neither floods nor loses by itself; an open loop sends at
 * `rate` whatever comes back.
 */

import type { Qos } from "../../src/protocol/Packet.ts"
import { atLeast, atMost, type Goal, times, within } from "./goals.ts"

/**
 * - `p2p`: publisher i to subscriber i, each pair on a topic of its own
 * - `wildcard`: the same through a filter with `+`
 * - `fan-out`: every publisher to every subscriber, on one topic
 * - `fan-in`: every publisher on its own topic, to every subscriber of `#` below
 * - `shared`: every publisher on its own topic, to one member of a shared subscription
 */
export type Mode = "p2p" | "wildcard" | "fan-out" | "fan-in" | "shared"

interface Row {
  /** What `--only` names. */
  readonly name: string
  readonly group: string
  /** For a reader who has only the chart. */
  readonly title: string
  readonly goals: ReadonlyArray<Goal>
  /** Names of the brokers that are measured, ours first; without them Heddle and every peer. */
  readonly contenders?: ReadonlyArray<string>
}

export interface MessageScenario extends Row {
  readonly kind: "messages"
  readonly mode: Mode
  readonly qos: Qos
  /**
   * `persistent` ones outlive their connections, so that what is sent to them has to be stored; `absent` ones
   * are persistent, and subscribers leave before the first message: then acknowledgements are what counts.
   */
  readonly sessions: "clean" | "persistent" | "absent"
  readonly version: 4 | 5
  readonly publishers: number
  readonly subscribers: number
  readonly payloadBytes: number
  /** Messages of a publisher that may be undelivered at a time; for QoS 1 and 2 also unacknowledged. */
  readonly window: number
  /** Messages a second of each publisher; 0 is a closed loop. */
  readonly rate: number
  /**
   * How many times that rate an open loop warms the broker up with, three times as long: what a broker costs
   * that has been running for a while, not one whose compiler is still at work.
   */
  readonly warmUp: number
  /** Whether the publishers of an open loop send at the same moments, or each at its own. */
  readonly isInStep: boolean
}

export interface ConnectionScenario extends Row {
  /** `churn`: connect, be accepted, disconnect. `idle`: connect and stay. */
  readonly kind: "churn" | "idle"
  readonly version: 4 | 5
  readonly clients: number
  readonly tls: boolean
}

/**
 * First every broker's rate in the closed loop `of`; then Heddle and every peer in an open loop at half of
 * Heddle's rate, and, because few peers reach that, Heddle and each peer at half of the peer's. With
 * contenders of its own, all of them at half of the first one's only.
 */
export interface HalfScenario extends Row {
  readonly kind: "half"
  readonly of: MessageScenario
}

/** What the load generator runs. */
export type LoadScenario = MessageScenario | ConnectionScenario

export type Scenario = LoadScenario | HalfScenario

type Message = Pick<MessageScenario, "mode" | "qos" | "group" | "title"> & Partial<MessageScenario>

const messages = (name: string, scenario: Message): MessageScenario => ({
  kind: "messages",
  name,
  sessions: "clean",
  version: 4,
  publishers: 50,
  subscribers: 50,
  payloadBytes: 64,
  window: 100,
  rate: 0,
  warmUp: 1,
  isInStep: true,
  goals: [],
  ...scenario
})

/** At most this fraction of mosquitto's processor time for each message delivered. */
const cpu = (share: number): ReadonlyArray<Goal> => [within("cpuUs", share)]

const pair = messages("p2p-1-q0", {
  group: "1:1",
  title: "1 to 1, QoS 0",
  mode: "p2p",
  qos: 0,
  publishers: 1,
  subscribers: 1,
  goals: cpu(1 / 6)
})

const pairs = (qos: Qos, goals: ReadonlyArray<Goal>): MessageScenario =>
  messages(`p2p-q${qos}`, {
    group: qos === 2 ? "QoS 2" : "50:50",
    title: `50 to 50, QoS ${qos}`,
    mode: "p2p",
    qos,
    goals
  })

const p2pQ0 = pairs(0, cpu(1 / 5))
const p2pQ1 = pairs(1, cpu(1 / 5))

const wildcard = messages("wildcard-q0", {
  group: "wildcard",
  title: "wildcard 50 to 50, QoS 0",
  mode: "wildcard",
  qos: 0,
  goals: cpu(1 / 6)
})

const fanIn = messages("fan-in-q0", {
  group: "fan-in 100:1",
  title: "100 to 1, QoS 0",
  mode: "fan-in",
  qos: 0,
  publishers: 100,
  subscribers: 1,
  goals: cpu(1 / 4)
})

const fanOut = (qos: Qos, goals: ReadonlyArray<Goal>): MessageScenario =>
  messages(`fan-out-q${qos}`, {
    group: "fan-out 1:100",
    title: `1 to 100, QoS ${qos}`,
    mode: "fan-out",
    qos,
    publishers: 1,
    subscribers: 100,
    goals
  })

const shared = messages("shared-q1", {
  group: "shared 50:5, v5",
  title: "shared 50 to 5, QoS 1, v5",
  mode: "shared",
  qos: 1,
  version: 5,
  subscribers: 5,
  goals: cpu(1 / 4)
})

/** Far below what any broker can do: what a message costs when there is no crowd to share the cost with. */
const open = (qos: Qos): MessageScenario =>
  messages(`open-q${qos}`, {
    group: "open loop, 50 x 200/s",
    title: `50 to 50 at 200/s each, QoS ${qos}`,
    mode: "p2p",
    qos,
    rate: 200,
    warmUp: 5,
    goals: cpu(1)
  })

/** The same when each sends at a moment of its own: nothing comes together. */
const openApart = (qos: Qos): MessageScenario => ({
  ...open(qos),
  name: `open-apart-q${qos}`,
  title: `${open(qos).title}, each at its own moment`,
  isInStep: false,
  goals: []
})

const openFanOut = messages("open-fan-out", {
  group: "open loop, 5 x 10/s to 1,000",
  title: "5 to 1,000 at 10/s each, QoS 0",
  mode: "fan-out",
  qos: 0,
  publishers: 5,
  subscribers: 1000,
  rate: 10,
  warmUp: 1.5,
  goals: cpu(1 / 3)
})

/** The window in bytes is what fits a subscriber's outbound limit, so that nothing is dropped. */
const large = (kilobytes: number): MessageScenario =>
  messages(`fan-out-${kilobytes}k`, {
    group: "large payloads, 1:100",
    title: `1 to 100, QoS 0, ${kilobytes} KB`,
    mode: "fan-out",
    qos: 0,
    publishers: 1,
    subscribers: 100,
    payloadBytes: kilobytes * 1024,
    window: 256 / kilobytes,
    goals: [times("perSecond", 2)]
  })

const half = (of: MessageScenario): HalfScenario => ({
  kind: "half",
  name: `half-q${of.qos}`,
  group: "latency at half of the saturation",
  title: `${of.title}, at half of the closed loop's rate`,
  goals: [within("p50Us", 1), within("p99Us", 1)],
  of
})

/** What stores, what stores nothing, and how far a peer comes that stores nothing. */
const allStored = ["heddle/disk", "heddle/os", "heddle/memory", "heddle", "mosquitto", "mosquitto/file"]
const diskAndNone = ["heddle/disk", "heddle"]

const stored = (name: string, scenario: Omit<Message, "group" | "mode">): MessageScenario =>
  messages(name, { mode: "p2p", group: "storage", sessions: "persistent", ...scenario })

/** With a database as fast as half of what is possible without, and faster than mosquitto without. */
const storedGoals = [times("perSecond", 0.5, "heddle"), times("perSecond", 1)]

const storedQ1 = stored("stored-q1", {
  title: "on disk, 50 to 50, QoS 1",
  qos: 1,
  contenders: allStored,
  goals: storedGoals
})

/** Nobody acknowledges in time to make writing needless. */
const absentQ1 = stored("absent-q1", {
  title: "on disk, 50 to 50 absent, QoS 1",
  qos: 1,
  sessions: "absent",
  contenders: allStored
})

/** What waiting for the disk adds to what everybody waits for. */
const storedHalf = (name: string, of: MessageScenario): HalfScenario => ({
  kind: "half",
  name,
  group: "storage",
  title: `${of.title}, at half of the closed loop's rate`,
  goals: [],
  contenders: diskAndNone,
  of
})

const connections = (
  name: string,
  scenario: Pick<ConnectionScenario, "kind" | "title" | "clients" | "goals"> & Partial<ConnectionScenario>
): ConnectionScenario => ({ name, group: "connections", version: 4, tls: false, ...scenario })

export const scenarios: ReadonlyArray<Scenario> = [
  pair,
  p2pQ0,
  p2pQ1,
  pairs(2, cpu(1 / 6)),
  wildcard,
  fanIn,
  fanOut(0, cpu(1 / 12)),
  fanOut(1, cpu(1 / 10)),
  shared,
  open(0),
  open(1),
  openApart(0),
  openApart(1),
  openFanOut,
  large(4),
  large(64),
  half(p2pQ0),
  half(p2pQ1),
  storedQ1,
  stored("stored-q2", {
    title: "on disk, 50 to 50, QoS 2",
    qos: 2,
    contenders: [...diskAndNone, "mosquitto"]
  }),
  absentQ1,
  storedHalf("half-stored-q1", storedQ1),
  storedHalf("half-absent-q1", absentQ1),
  connections("churn", {
    kind: "churn",
    title: "connect, be accepted, disconnect",
    clients: 5000,
    goals: []
  }),
  connections("idle", {
    kind: "idle",
    title: "15,000 idle connections",
    clients: 15_000,
    goals: [atMost("bytesPerConnection", 8 * 1024), atMost("cpuUs", 100), atLeast("perSecond", 8000)]
  }),
  connections("idle-tls", {
    kind: "idle",
    title: "3,000 idle connections over TLS",
    clients: 3000,
    tls: true,
    goals: [atMost("bytesPerConnection", 30 * 1024)]
  })
]

const quickNames = ["p2p-q0", "p2p-q1", "p2p-q2", "fan-out-q0", "shared-q1", "stored-q1", "churn", "idle-tls"]

/** A few of them, smaller: does everything still run and arrive? */
export const quickScenarios: ReadonlyArray<Scenario> = scenarios
  .filter(({ name }) => quickNames.includes(name))
  .map((scenario) => ("clients" in scenario ? { ...scenario, clients: 500 } : scenario))
