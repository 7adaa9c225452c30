/** The Session State of one client as MQTT defines it, in plain maps, with what a crash may make of it. */

import { Fact } from "./Fact.ts"
import { Copies, isShared, matches } from "./Messages.ts"
import type { Filter, Qos } from "./Step.ts"

/** A will, and the message that it will be. */
export interface ArmedWill {
  readonly message: number
  /** Seconds. */
  readonly delay: number
}

/** The terms under which a session is there: a value, replaced by every CONNECT and every loss. */
export interface Terms {
  /** Undefined when there is no session. */
  readonly session: ReferenceSession | undefined
  readonly expiry: number
  readonly isConnected: boolean
  /** Infinite while connected, or when it never ends. */
  readonly endsAtMs: number
  readonly will: ArmedWill | undefined
  /** Infinite while connected. */
  readonly willAtMs: number
}

export const noSession: Terms = {
  session: undefined,
  expiry: 0,
  isConnected: false,
  endsAtMs: Number.POSITIVE_INFINITY,
  will: undefined,
  willAtMs: Number.POSITIVE_INFINITY
}

export const endOf = (expiry: number, nowMs: number): number =>
  expiry === 0xffff_ffff ? Number.POSITIVE_INFINITY : nowMs + expiry * 1000

/** How sure it is that a session gets what is published to a topic, and at which QoS it subscribed. */
export interface Match {
  readonly isSure: boolean
  readonly isPossible: boolean
  readonly qos: ReadonlySet<Qos>
}

export class ReferenceSession {
  readonly subscriptions = new Map<Filter, Fact<Qos | undefined>>()
  readonly copies = new Copies()

  constructor(readonly clientId: string) {}

  subscribe(filter: Filter, qos: Qos | undefined): void {
    const held = this.subscriptions.get(filter)
    if (held !== undefined) held.set(qos)
    else {
      const fact = new Fact<Qos | undefined>(undefined)
      fact.set(qos)
      this.subscriptions.set(filter, fact)
    }
  }

  /** The subscriptions to a topic, those of a shared group or the others. */
  match(topic: string, shared: boolean): Match {
    const facts = [...this.subscriptions].flatMap(([filter, fact]) =>
      isShared(filter) === shared && matches(filter, topic) ? [fact] : []
    )
    const isSure = facts.some((fact) => fact.known?.value !== undefined)
    const qos = new Set<Qos>()
    for (const fact of facts) for (const value of fact.candidates) if (value !== undefined) qos.add(value)
    // Of several subscriptions that are there, the highest counts.
    const certain = facts.flatMap((fact) => (fact.known?.value === undefined ? [] : [fact.known.value]))
    const least = Math.max(0, ...certain)
    for (const value of [...qos]) if (value < least) qos.delete(value)
    return { isSure, isPossible: qos.size > 0, qos }
  }

  committed(): void {
    for (const fact of this.subscriptions.values()) fact.sure()
  }

  crash(): void {
    for (const fact of this.subscriptions.values()) fact.crash()
  }
}
