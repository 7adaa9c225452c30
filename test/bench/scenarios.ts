/**
 * What is measured, as data. A closed loop keeps `window` messages of each publisher under way, so that it
 * goes as fast as the broker and neither floods nor loses by itself; an open loop sends at `rate` whatever
 * comes back.
 */

import type { Qos } from "../../src/protocol/Packet.ts"

/**
 * - `p2p`: publisher i to subscriber i, each pair on a topic of its own
 * - `wildcard`: the same through a filter with `+`
 * - `fan-out`: every publisher to every subscriber, on one topic
 * - `fan-in`: every publisher on its own topic, to every subscriber of `#` below
 * - `shared`: every publisher on its own topic, to one member of a shared subscription
 */
export type Mode = "p2p" | "wildcard" | "fan-out" | "fan-in" | "shared"

export interface MessageScenario {
  readonly kind: "messages"
  readonly name: string
  readonly mode: Mode
  readonly qos: Qos
  readonly version: 4 | 5
  readonly publishers: number
  readonly subscribers: number
  readonly payloadBytes: number
  /** Messages of a publisher that may be undelivered at a time; for QoS 1 and 2 also unacknowledged. */
  readonly window: number
  /** Messages a second of each publisher; 0 is a closed loop. */
  readonly rate: number
}

export interface ConnectionScenario {
  /** `churn`: connect, be accepted, disconnect. `idle`: connect and stay. */
  readonly kind: "churn" | "idle"
  readonly name: string
  readonly version: 4 | 5
  readonly clients: number
}

export type Scenario = MessageScenario | ConnectionScenario

const messages = (
  name: string,
  scenario: Pick<MessageScenario, "mode" | "qos"> & Partial<MessageScenario>
): MessageScenario => ({
  kind: "messages",
  name,
  version: 4,
  publishers: 50,
  subscribers: 50,
  payloadBytes: 64,
  window: 100,
  rate: 0,
  ...scenario
})

export const scenarios: ReadonlyArray<Scenario> = [
  messages("p2p-q0", { mode: "p2p", qos: 0 }),
  messages("p2p-q1", { mode: "p2p", qos: 1 }),
  messages("p2p-q2", { mode: "p2p", qos: 2 }),
  messages("p2p-q1-v5", { mode: "p2p", qos: 1, version: 5 }),
  messages("p2p-q0-8k", { mode: "p2p", qos: 0, payloadBytes: 8192, window: 20 }),
  messages("wildcard-q0", { mode: "wildcard", qos: 0 }),
  messages("fan-out-q0", { mode: "fan-out", qos: 0, publishers: 1, subscribers: 100 }),
  messages("fan-out-q1", { mode: "fan-out", qos: 1, publishers: 1, subscribers: 100 }),
  messages("fan-in-q0", { mode: "fan-in", qos: 0, subscribers: 1 }),
  messages("fan-in-q1", { mode: "fan-in", qos: 1, subscribers: 1 }),
  messages("shared-q1", { mode: "shared", qos: 1, subscribers: 10 }),
  // Far below what either broker can do: what a message costs when there is no crowd to share the cost with.
  messages("steady-q0", { mode: "p2p", qos: 0, rate: 100 }),
  messages("steady-q1", { mode: "p2p", qos: 1, rate: 100 }),
  { kind: "churn", name: "churn", version: 4, clients: 5000 },
  { kind: "idle", name: "idle", version: 4, clients: 15_000 }
]

const quickNames = ["p2p-q0", "p2p-q1", "p2p-q2", "fan-out-q0", "shared-q1", "churn"]

/** A few of them, smaller: does everything still run and arrive? */
export const quickScenarios: ReadonlyArray<Scenario> = scenarios
  .filter(({ name }) => quickNames.includes(name))
  .map((scenario) => (scenario.kind === "messages" ? scenario : { ...scenario, clients: 500 }))
