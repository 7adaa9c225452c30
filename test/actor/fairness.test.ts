import { describe, expect, test } from "bun:test"
import * as fc from "effect/FastCheck"
import type { Turn } from "../../src/actor/Dispatcher.ts"
import { handDispatcher } from "./handDispatcher.ts"
import { endless, Load, scheduleAll, served } from "./Load.ts"

describe("Dispatcher: fairness", () => {
  const QUANTUM = 512

  for (const [weightA, weightB] of [
    [1, 1],
    [3, 1],
    [1, 8],
    [0.5, 0.25]
  ] as const) {
    test(`while both are backlogged, weights ${weightA}:${weightB} are kept to within a quantum`, () => {
      const { dispatcher, time } = handDispatcher({ quantum: QUANTUM, tickMs: 8 })
      const onTurn = (units: number) => {
        time.elapsedMs += units / 100
      }
      // A tenant with many busy actors against a tenant with one: it is the queues that share, not the
      // actors.
      const a = scheduleAll(dispatcher.runQueue(weightA), endless(1_000, 1, onTurn))
      const b = scheduleAll(dispatcher.runQueue(weightB), endless(1, 1, onTurn))
      for (let tick = 0; tick < 50; tick++) {
        dispatcher.tick()
        expect(Math.abs(served(a) / weightA - served(b) / weightB)).toBeLessThanOrEqual(QUANTUM)
      }
      expect(served(b)).toBeGreaterThan(QUANTUM)
    })
  }

  test("shares are kept whatever the weights, turns, budgets and interruptions by the clock", () => {
    const queue = fc.record({
      weight: fc.integer({ min: 1, max: 12 }),
      actors: fc.integer({ min: 1, max: 40 }),
      perTurn: fc.integer({ min: 1, max: 300 })
    })
    const options = fc.record({
      quantum: fc.integer({ min: 1, max: 600 }),
      turnBudget: fc.integer({ min: 1, max: 300 }),
      tickMs: fc.integer({ min: 1, max: 12 })
    })
    fc.assert(
      fc.property(fc.array(queue, { minLength: 2, maxLength: 5 }), options, (queues, options) => {
        const { dispatcher, time } = handDispatcher(options)
        const onTurn = (units: number) => {
          time.elapsedMs += units / 50
        }
        const loads = queues.map(({ actors, perTurn, weight }) =>
          scheduleAll(dispatcher.runQueue(weight), endless(actors, perTurn, onTurn))
        )
        for (let tick = 0; tick < 30; tick++) {
          dispatcher.tick()
          const shares = queues.map(({ weight }, i) => served(loads[i] ?? []) / weight)
          // A round apart, and the last turn of each may overdraw by a turn less one unit.
          const bound = options.quantum + options.turnBudget
          expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(bound)
        }
      }),
      { seed: 4, numRuns: 150 }
    )
  })

  test("a tenant with one message is served within one round of a tenant that floods", () => {
    const { dispatcher, time } = handDispatcher({ quantum: QUANTUM, turnBudget: 256 })
    let floodedUnits = 0
    const flood = endless(10_000, undefined, (units) => {
      floodedUnits += units
      time.elapsedMs += units / 100
    })
    scheduleAll(dispatcher.runQueue(1), flood)
    const small = dispatcher.runQueue(1)
    for (let tick = 0; tick < 20; tick++) {
      dispatcher.tick()
      const before = floodedUnits
      let waited = Number.POSITIVE_INFINITY
      small.schedule(
        new Load(1, 1, () => {
          waited = floodedUnits - before
        })
      )
      dispatcher.tick()
      expect(waited).toBeLessThanOrEqual(QUANTUM + 256)
    }
  })

  test("an idle queue comes back with a full round, and no more", () => {
    const { dispatcher } = handDispatcher({ quantum: 10, turnBudget: 10, tickMs: 1 })
    const idler = dispatcher.runQueue(1)
    for (let tick = 0; tick < 95; tick++) {
      idler.schedule(new Load(1))
      dispatcher.tick()
    }
    const order: Array<string> = []
    const log = (name: string) => new Load(40, 1, () => order.push(name))
    idler.schedule(log("idler"))
    dispatcher.runQueue(1).schedule(log("other"))
    dispatcher.tick()
    expect(order.slice(0, 20)).toEqual([...Array(10).fill("idler"), ...Array(10).fill("other")])
  })

  test("an overdrawn queue pays before it is served again", () => {
    const { dispatcher } = handDispatcher({ quantum: 10, turnBudget: 1_000 })
    const order: Array<string> = []
    const name = (name: string) => () => void order.push(name)
    dispatcher.runQueue(1).schedule(new Load(70, 35, name("greedy")))
    dispatcher.runQueue(1).schedule(new Load(40, 10, name("modest")))
    dispatcher.tick()
    // 35 units out of 10: the debt of 25 takes the earnings of the next two rounds and half of the third.
    expect(order).toEqual(["greedy", "modest", "modest", "modest", "greedy", "modest"])
  })

  test("a turn gets the turn budget, and the actors of a queue take turns", () => {
    const { dispatcher } = handDispatcher({ quantum: 100, turnBudget: 7 })
    const order: Array<[string, number]> = []
    const queue = dispatcher.runQueue(1)
    queue.schedule(new Load(20, undefined, (units) => order.push(["a", units])))
    queue.schedule(new Load(9, undefined, (units) => order.push(["b", units])))
    dispatcher.tick()
    expect(order).toEqual([
      ["a", 7],
      ["b", 7],
      ["a", 7],
      ["b", 2],
      ["a", 6]
    ])
    expect(queue.waiting).toBe(0)
  })

  test("a turn that claims to have cost nothing is charged for", () => {
    const { dispatcher, time } = handDispatcher({ quantum: 8, tickMs: 1 })
    const idle: Turn = {
      runTurn: () => {
        time.elapsedMs += 0.001
        return 0
      },
      staysReady: () => true
    }
    dispatcher.runQueue(1).schedule(idle)
    const other = new Load(1)
    dispatcher.runQueue(1).schedule(other)
    dispatcher.tick()
    expect(other.served).toBe(1)
  })

  test("a weight of zero still advances", () => {
    const { dispatcher } = handDispatcher()
    const load = new Load(300)
    dispatcher.runQueue(0).schedule(load)
    dispatcher.tick()
    expect(load.served).toBe(300)
  })

  test("a queue that was idle goes before those that wait for their next round, once", () => {
    const { dispatcher, time } = handDispatcher({ quantum: 64, turnBudget: 64, tickMs: 1 })
    const order: Array<string> = []
    const log = (name: string) => (units: number) => {
      order.push(name)
      time.elapsedMs += units / 64
    }
    for (const name of ["a", "b"]) scheduleAll(dispatcher.runQueue(1), endless(1, 64, log(name)))
    dispatcher.tick()
    dispatcher.tick()
    const sparse = dispatcher.runQueue(1)
    sparse.schedule(new Load(64, 64, log("sparse")))
    dispatcher.tick()
    // It has had a round in advance: what comes now waits for its turn among the others.
    sparse.schedule(new Load(64, 64, log("sparse")))
    for (let tick = 0; tick < 4; tick++) dispatcher.tick()
    expect(order.slice(2).join(" ")).toBe("sparse a b sparse a")
  })

  test("a tick is short while more than one queue has work, and for a second after", () => {
    const { dispatcher, time } = handDispatcher({ quantum: 64, turnBudget: 64, tickMs: 8, sharedTickMs: 1 })
    const onTurn = (units: number) => {
      time.elapsedMs += units / 64
    }
    scheduleAll(dispatcher.runQueue(1), endless(1, 64, onTurn))
    const lengthOfTick = () => {
      const before = time.elapsedMs
      dispatcher.tick()
      return time.elapsedMs - before
    }
    expect(lengthOfTick()).toBe(8)
    dispatcher.runQueue(1).schedule(new Load(1))
    expect(lengthOfTick()).toBeLessThan(2)
    time.nowMs += 999
    expect(lengthOfTick()).toBe(1)
    time.nowMs += 1
    expect(lengthOfTick()).toBe(8)
  })

  test("what a queue wrote is flushed when it has nothing more, not when the others have", () => {
    const { dispatcher, time } = handDispatcher({ quantum: 64, turnBudget: 64, tickMs: 8 })
    const order: Array<string> = []
    const turn = (name: string) => (units: number) => {
      time.elapsedMs += units
      order.push(name)
      dispatcher.flushLater({ flush: () => order.push(`${name} flushed`) })
    }
    dispatcher.runQueue(1).schedule(new Load(1, 1, () => {}))
    dispatcher.runQueue(1).schedule(new Load(1, 1, () => {}))
    dispatcher.tick()
    dispatcher.runQueue(1).schedule(new Load(1, 1, turn("sparse")))
    scheduleAll(dispatcher.runQueue(1), endless(1, 64, turn("flood")))
    dispatcher.tick()
    expect(order).toEqual(["sparse", "sparse flushed", "flood"])
    dispatcher.tick()
    expect(order.slice(3)).toEqual(["flood flushed", "flood"])
  })
})

describe("Dispatcher: fairness of what is written", () => {
  /** A queue whose one turn writes to so many connections, each of which takes a tenth of a millisecond. */
  const writer = (hand: ReturnType<typeof handDispatcher>, options: WriterOptions) => {
    const { dispatcher, time } = hand
    const { connections, flushed, name, perFlushMs = 0.1, weight = 1 } = options
    const queue = dispatcher.runQueue(weight)
    const write = () => {
      queue.schedule(
        new Load(1, 1, () => {
          for (let at = 0; at < connections; at++) {
            dispatcher.flushLater({
              flush: () => {
                time.elapsedMs += perFlushMs
                flushed.push(name)
                if (options.bytes !== undefined) dispatcher.wrote(options.bytes)
              }
            })
          }
        })
      )
    }
    return { queue, write }
  }

  interface WriterOptions {
    readonly name: string
    readonly connections: number
    readonly flushed: Array<string>
    readonly perFlushMs?: number
    readonly weight?: number
    readonly bytes?: number
  }

  const shared = { quantum: 512, turnBudget: 256, tickMs: 8, sharedTickMs: 0.5 }

  /** Several queues have been seen, so that ticks are shared from now on. */
  const sharing = () => {
    const hand = handDispatcher(shared)
    for (let queue = 0; queue < 2; queue++) hand.dispatcher.runQueue(1).schedule(new Load(1))
    hand.dispatcher.tick()
    return hand
  }

  for (const connections of [100, 1000, 10_000]) {
    test(`a tenant that writes to ${connections} connections delays another's answer by its share`, () => {
      const hand = sharing()
      const flushed: Array<string> = []
      const crowd = writer(hand, { name: "crowd", connections, flushed })
      const one = writer(hand, { name: "one", connections: 1, flushed })
      crowd.write()
      hand.dispatcher.tick()
      for (let round = 0; round < 5; round++) {
        one.write()
        const before = flushed.length
        for (let tick = 0; !flushed.slice(before).includes("one"); tick++) {
          expect(tick).toBeLessThan(100)
          hand.dispatcher.tick()
        }
        // A quantum of 512 units pays for 64 writes.
        expect(flushed.slice(before).indexOf("one")).toBeLessThanOrEqual(65)
      }
      for (let tick = 0; flushed.length < connections + 5 && tick < 3 * connections; tick++)
        hand.dispatcher.tick()
      expect(flushed.filter((name) => name === "crowd")).toHaveLength(connections)
    })
  }

  test("writes are shared by weight, and so are the bytes in them", () => {
    const hand = sharing()
    const flushed: Array<string> = []
    const of = (name: string, weight: number, bytes: number) =>
      writer(hand, { name, weight, bytes, connections: 5000, flushed, perFlushMs: 0.01 })
    // A kilobyte is not worth counting; 48 bring a write from 8 units to 32.
    for (const each of [of("heavy", 3, 1024), of("light", 1, 1024), of("fat", 1, 48 * 1024)]) each.write()
    while (flushed.length < 4000) hand.dispatcher.tick()
    const count = (name: string) => flushed.filter((each) => each === name).length
    expect(count("heavy") / count("light")).toBeGreaterThan(2.8)
    expect(count("heavy") / count("light")).toBeLessThan(3.2)
    expect(count("light") / count("fat")).toBeGreaterThan(3.5)
    expect(count("light") / count("fat")).toBeLessThan(4.5)
  })

  test("whatever is written when, everything is flushed once, and in order", () => {
    const writes = fc.array(
      fc.record({
        queue: fc.integer({ min: 0, max: 3 }),
        connections: fc.integer({ min: 0, max: 40 }),
        gapMs: fc.constantFrom(0, 0, 1, 20, 1500)
      }),
      { maxLength: 40 }
    )
    fc.assert(
      fc.property(writes, (writes) => {
        const { dispatcher, time } = handDispatcher(shared)
        const queues = [1, 1, 2, 0.1].map((weight) => dispatcher.runQueue(weight))
        const expected: Array<Array<number>> = [[], [], [], []]
        const flushed: Array<Array<number>> = [[], [], [], []]
        let next = 0
        for (const { connections, gapMs, queue } of writes) {
          time.nowMs += gapMs
          queues[queue]?.schedule(
            new Load(1, 1, () => {
              for (let at = 0; at < connections; at++) {
                const number = next++
                expected[queue]?.push(number)
                const flush = () => {
                  time.elapsedMs += 0.02
                  flushed[queue]?.push(number)
                }
                dispatcher.flushLater({ flush })
              }
            })
          )
          dispatcher.tick()
        }
        for (let tick = 0; tick < 200; tick++) dispatcher.tick()
        expect(flushed).toEqual(expected)
      }),
      { seed: 3, numRuns: 200 }
    )
  })

  test("who is alone writes everything in its tick and owes nothing", () => {
    const { dispatcher, time } = handDispatcher(shared)
    const hand = { dispatcher, time }
    const flushed: Array<string> = []
    const alone = writer(hand, { name: "alone", connections: 3000, flushed })
    alone.write()
    dispatcher.tick()
    expect(flushed).toHaveLength(3000)
  })
})
