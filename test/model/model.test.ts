import { describe, expect, test } from "bun:test"
import type { DurableRecord } from "../../src/storage/DurableRecord.ts"
import { play } from "./play.ts"
import { type Step, traceOf } from "./Step.ts"
import { shrink } from "./shrink.ts"
import { SqliteTables } from "./Tables.ts"

const SEED = 20_261_122
const TRACES = 100
const STEPS = 60
const SQLITE_TRACES = 5

const connect = (
  client: "a" | "b",
  terms: Partial<Extract<Step, { readonly _tag: "Connect" }>> = {}
): Step => ({
  ...{ _tag: "Connect", client, isClean: false, expiry: 3600, version: 5, receiveMaximum: 100 },
  ...{ will: undefined, ...terms }
})

const will = { qos: 2, delay: 0 } as const
const hold: Step = { _tag: "JournalHold" }
const crash: Step = { _tag: "Crash", downMs: 0 }
const take = (count: number): Step => ({ _tag: "JournalTake", count, withWaiting: true })
const commit = (count: number): Step => ({ _tag: "JournalCommit", count })
const publish = (qos: 1 | 2): Step => ({ _tag: "Publish", client: "b", topic: "t/0", qos })

/** Traces that have gone wrong once. */
const mended: ReadonlyArray<readonly [name: string, trace: ReadonlyArray<Step>]> = [
  [
    "a will that went out, with the loss of its connection on record and its copies not",
    [
      connect("a"),
      { _tag: "Subscribe", client: "a", filter: "w/#", qos: 2 },
      connect("b", { will }),
      hold,
      { _tag: "Drop", client: "b" },
      take(1),
      commit(1),
      crash
    ]
  ],
  [
    "a will that goes out when another connection with a will takes over",
    [
      connect("b", { expiry: 0xffff_ffff, version: 4, will }),
      { _tag: "Subscribe", client: "b", filter: "w/#", qos: 2 },
      connect("b", { will: { qos: 1, delay: 0 } }),
      crash
    ]
  ],
  [
    "a message that comes onto the record while its receiver reads what waited",
    [
      connect("b", { will }),
      { _tag: "Subscribe", client: "b", filter: "w/#", qos: 1 },
      { _tag: "Crash", downMs: 44_000 },
      connect("a", { version: 4, expiry: 0xffff_ffff, will: { qos: 1, delay: 0 } }),
      hold,
      connect("a", { isClean: true, expiry: 0 }),
      connect("b")
    ]
  ],
  [
    "PUBREL to a client that comes back before its PUBREC is on record",
    [
      connect("a"),
      { _tag: "Subscribe", client: "a", filter: "t/0", qos: 2 },
      { _tag: "Subscribe", client: "a", filter: "w/#", qos: 2 },
      { _tag: "Hold", client: "a" },
      connect("b", { will }),
      publish(2),
      hold,
      connect("b"),
      { _tag: "Release", client: "a" },
      connect("a"),
      crash
    ]
  ],
  [
    "a clean start whose client was told before what it discards was off the record",
    [
      connect("a"),
      { _tag: "Subscribe", client: "a", filter: "t/0", qos: 1 },
      hold,
      connect("a", { isClean: true }),
      crash,
      connect("b"),
      publish(1)
    ]
  ],
  [
    "a clean start that is not stored, and ends a session with a will that was still to come",
    [
      connect("b", { will: { qos: 2, delay: 20 } }),
      crash,
      hold,
      connect("b", { isClean: true, expiry: 0 }),
      crash,
      connect("b", { expiry: 30 })
    ]
  ],
  [
    "two messages of which only the later had to be written at once",
    [
      connect("a", { receiveMaximum: 1 }),
      { _tag: "Subscribe", client: "a", filter: "t/0", qos: 1 },
      { _tag: "Deafen", client: "a" },
      connect("b"),
      publish(1),
      publish(1),
      crash
    ]
  ],
  [
    "a message that was acknowledged before it was written, and before an older one",
    [
      connect("a"),
      { _tag: "Subscribe", client: "a", filter: "t/0", qos: 2 },
      connect("b"),
      { _tag: "Hold", client: "a" },
      publish(2),
      publish(1),
      { _tag: "Acknowledge", client: "a", count: 2 },
      { _tag: "Release", client: "a" },
      { _tag: "Drop", client: "a" },
      crash,
      connect("b"),
      publish(1)
    ]
  ]
]

describe("a broker and the reference agree", () => {
  test(`on ${TRACES} traces of ${STEPS} steps`, async () => {
    const wrong: Array<string> = []
    for (let seed = SEED; seed < SEED + TRACES; seed++) {
      for (const violation of await play(traceOf(seed, STEPS))) wrong.push(`seed ${seed}, ${violation}`)
    }
    expect(wrong).toEqual([])
  }, 60_000)

  test(`on ${SQLITE_TRACES} of them over tables of SQLite`, async () => {
    const wrong: Array<string> = []
    for (let seed = SEED; seed < SEED + SQLITE_TRACES; seed++) {
      const found = await play(traceOf(seed, STEPS), { tables: SqliteTables.open })
      for (const violation of found) wrong.push(`seed ${seed}, ${violation}`)
    }
    expect(wrong).toEqual([])
  }, 60_000)

  for (const [name, trace] of mended) test(`on ${name}`, async () => expect(await play(trace)).toEqual([]))
})

const subscribe = (qos: 1 | 2): Step => ({ _tag: "Subscribe", client: "a", filter: "t/0", qos })
const acknowledge: Step = { _tag: "Acknowledge", client: "a", count: 1 }

/** Where a random trace would seldom show it, one that does. */
const losses: ReadonlyArray<readonly [kind: DurableRecord["_tag"], trace?: ReadonlyArray<Step>]> = [
  ...(["Connect", "Detach", "WillDone", "End", "Subscribe", "Enqueue", "Inbound", "Retain"] as const).map(
    (kind) => [kind] as const
  ),
  [
    "Unsubscribe",
    [
      ...[connect("a"), subscribe(1), { _tag: "Unsubscribe", client: "a", filter: "t/0" } as const],
      ...[crash, connect("a"), connect("b"), publish(1)]
    ]
  ],
  [
    "Release",
    [
      ...[connect("a"), subscribe(2), { _tag: "Hold", client: "a" } as const, connect("b"), publish(2)],
      ...[hold, acknowledge, take(1), commit(1), { _tag: "JournalTell", count: 1 } as const, acknowledge],
      crash
    ]
  ]
]

describe("the test shows", () => {
  for (const [kind, trace] of losses) {
    test(`that a journal loses ${kind} records`, async () => {
      if (trace !== undefined) {
        expect(await play(trace)).toEqual([])
        return expect(await play(trace, { loses: kind })).not.toEqual([])
      }
      let seed = SEED
      while (seed < SEED + TRACES && (await play(traceOf(seed, STEPS), { loses: kind })).length === 0) seed++
      expect(seed).toBeLessThan(SEED + TRACES)
    }, 30_000)
  }
})

test("a trace that goes wrong is shortened to what matters", async () => {
  const numbers = Array.from({ length: 100 }, (_, index) => index)
  const short = await shrink(numbers, async (part) => part.includes(17) && part.includes(83))
  expect(short).toEqual([17, 83])
})
