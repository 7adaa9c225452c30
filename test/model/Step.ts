/**
 * What may happen to a broker in the model test, as plain values: a trace is an array of steps that can be
 * cut anywhere, because a step that makes no sense where it stands does nothing.
 */

import { seeded } from "../support/raw.ts"

export const clientIds = ["a", "b", "c", "d"] as const
export type ClientId = (typeof clientIds)[number]

/** Topics of plain messages, of a shared subscription's, of wills. Those of retained messages are apart. */
export const topics = ["t/0", "t/1", "g/0"] as const
export const retainedTopics = ["r/0", "r/1"] as const
export const willTopic = "w/0"
export const filters = ["t/0", "t/1", "t/+", "w/#", "$share/s/g/+"] as const
export type Filter = (typeof filters)[number]

export type Qos = 0 | 1 | 2

export interface WillTerms {
  readonly qos: Qos
  /** Seconds. */
  readonly delay: number
}

export type Step =
  | {
      readonly _tag: "Connect"
      readonly client: ClientId
      readonly isClean: boolean
      /** Seconds; what a version 4 client means follows from `isClean`. */
      readonly expiry: number
      readonly version: 4 | 5
      readonly receiveMaximum: number
      readonly will: WillTerms | undefined
    }
  /** The connection breaks; what the client has not read is lost. */
  | { readonly _tag: "Drop"; readonly client: ClientId }
  | { readonly _tag: "Disconnect"; readonly client: ClientId; readonly withWill: boolean }
  | { readonly _tag: "Subscribe"; readonly client: ClientId; readonly filter: Filter; readonly qos: Qos }
  | { readonly _tag: "Unsubscribe"; readonly client: ClientId; readonly filter: Filter }
  | { readonly _tag: "Publish"; readonly client: ClientId; readonly topic: string; readonly qos: Qos }
  | {
      readonly _tag: "Retain"
      readonly client: ClientId
      readonly topic: string
      readonly qos: Qos
      readonly isEmpty: boolean
    }
  /** From now on the client acknowledges nothing by itself. */
  | { readonly _tag: "Hold"; readonly client: ClientId }
  /** It sends the oldest acknowledgements that it owes. */
  | { readonly _tag: "Acknowledge"; readonly client: ClientId; readonly count: number }
  /** It acknowledges what it owes, and by itself again. */
  | { readonly _tag: "Release"; readonly client: ClientId }
  /** It does not look at what arrives; or does again. */
  | { readonly _tag: "Deafen"; readonly client: ClientId }
  | { readonly _tag: "Listen"; readonly client: ClientId }
  /** The journal holds everything back; or goes on by itself, but for what may wait. */
  | { readonly _tag: "JournalHold" }
  | { readonly _tag: "JournalRun" }
  /** The journal takes units, also of those that may wait; commits those taken; tells of those committed. */
  | { readonly _tag: "JournalTake"; readonly count: number; readonly withWaiting: boolean }
  | { readonly _tag: "JournalCommit"; readonly count: number }
  | { readonly _tag: "JournalTell"; readonly count: number }
  | { readonly _tag: "Crash"; readonly downMs: number }
  | { readonly _tag: "Advance"; readonly ms: number }

/** Instants are whole multiples of this, so that nothing is ever due at the very instant of a look. */
const TICK_MS = 11_000

type Random = (below: number) => number

const pick = <T>(random: Random, from: ReadonlyArray<T>): T => from[random(from.length)] as T

const connect = (random: Random, client: ClientId): Step => {
  const version = random(4) === 0 ? 4 : 5
  const isClean = random(5) === 0
  return {
    _tag: "Connect",
    client,
    isClean,
    expiry: version === 4 ? (isClean ? 0 : 0xffff_ffff) : pick(random, [0, 30, 3600, 3600, 3600]),
    version,
    receiveMaximum: version === 5 ? pick(random, [1, 2, 5, 100]) : 65_535,
    will:
      random(3) === 0
        ? { qos: pick(random, [0, 1, 2, 2]), delay: version === 5 ? pick(random, [0, 0, 20]) : 0 }
        : undefined
  }
}

/** How often each kind of step comes up. */
const makers: ReadonlyArray<readonly [weight: number, make: (random: Random, client: ClientId) => Step]> = [
  [12, connect],
  [4, (_, client) => ({ _tag: "Drop", client })],
  [2, (random, client) => ({ _tag: "Disconnect", client, withWill: random(3) === 0 })],
  [
    10,
    (random, client) => ({
      _tag: "Subscribe",
      client,
      filter: pick(random, filters),
      qos: pick(random, [0, 1, 1, 2, 2, 2])
    })
  ],
  [2, (random, client) => ({ _tag: "Unsubscribe", client, filter: pick(random, filters) })],
  [
    26,
    (random, client) => ({
      _tag: "Publish",
      client,
      topic: pick(random, topics),
      qos: pick(random, [0, 1, 1, 1, 2, 2, 2])
    })
  ],
  [
    4,
    (random, client) => ({
      _tag: "Retain",
      client,
      topic: pick(random, retainedTopics),
      qos: pick(random, [0, 1, 2]),
      isEmpty: random(4) === 0
    })
  ],
  [3, (_, client) => ({ _tag: "Hold", client })],
  [6, (random, client) => ({ _tag: "Acknowledge", client, count: 1 + random(3) })],
  [3, (_, client) => ({ _tag: "Release", client })],
  [2, (_, client) => ({ _tag: "Deafen", client })],
  [2, (_, client) => ({ _tag: "Listen", client })],
  [4, () => ({ _tag: "JournalHold" })],
  [4, () => ({ _tag: "JournalRun" })],
  [
    7,
    (random) => ({ _tag: "JournalTake", count: pick(random, [1, 1, 2, 3, 9]), withWaiting: random(2) === 0 })
  ],
  [6, (random) => ({ _tag: "JournalCommit", count: pick(random, [1, 1, 2, 3, 9]) })],
  [6, (random) => ({ _tag: "JournalTell", count: pick(random, [1, 1, 2, 3, 9]) })],
  [5, (random) => ({ _tag: "Crash", downMs: pick(random, [0, 0, 0, TICK_MS, 4 * TICK_MS]) })],
  [4, (random) => ({ _tag: "Advance", ms: pick(random, [TICK_MS, TICK_MS, 2 * TICK_MS, 4 * TICK_MS]) })]
]

const weightSum = makers.reduce((sum, [weight]) => sum + weight, 0)

/** A trace of that many steps; the same one for the same seed. */
export const traceOf = (seed: number, length: number): ReadonlyArray<Step> => {
  const random = seeded(seed)
  return Array.from({ length }, () => {
    let at = random(weightSum)
    for (const [weight, make] of makers) {
      if (at < weight) return make(random, pick(random, clientIds))
      at -= weight
    }
    return { _tag: "JournalRun" }
  })
}

/** The trace as a test case. */
export const testCaseOf = (trace: ReadonlyArray<Step>): string =>
  `[\n${trace.map((step) => `  ${JSON.stringify(step)}`).join(",\n")}\n]`

export const isRetainedTopic = (topic: string): boolean => topic.startsWith("r/")
