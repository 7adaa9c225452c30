import { describe, expect, test } from "bun:test"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import { Dispatcher } from "../../src/actor/Dispatcher.ts"
import { effect, live, nextImmediate } from "../support/effect.ts"
import { handDispatcher } from "./handDispatcher.ts"
import { endless, Load, scheduleAll, served } from "./Load.ts"

describe("Dispatcher: time", () => {
  test("a tick ends soon after tickMs, within a round, and the queue goes on with the credit it had", () => {
    const { dispatcher, time } = handDispatcher({ quantum: 1_000, turnBudget: 10, tickMs: 5 })
    const onTurn = (units: number) => {
      time.elapsedMs += units / 100
    }
    const big = scheduleAll(dispatcher.runQueue(1), endless(5, undefined, onTurn))
    const other = scheduleAll(dispatcher.runQueue(1), endless(5, undefined, onTurn))
    dispatcher.tick()
    // 5 ms are 500 units; the clock is looked at every 64.
    expect(served(big)).toBeGreaterThanOrEqual(500)
    expect(served(big)).toBeLessThanOrEqual(580)
    expect(served(other)).toBe(0)
    dispatcher.tick()
    expect(served(big)).toBe(1_000)
    expect(served(other)).toBeGreaterThan(0)
  })

  test("many queues with little work each end a tick as well", () => {
    const { dispatcher, time } = handDispatcher({ tickMs: 1 })
    let turns = 0
    for (let i = 0; i < 1_000; i++) {
      dispatcher.runQueue(1).schedule(
        new Load(1, 1, () => {
          turns++
          time.elapsedMs += 0.01
        })
      )
    }
    dispatcher.tick()
    expect(turns).toBeGreaterThanOrEqual(100)
    expect(turns).toBeLessThanOrEqual(180)
    for (let tick = 0; tick < 9; tick++) dispatcher.tick()
    expect(turns).toBe(1_000)
  })

  test("every turn and flush of a tick sees one instant, read anew each tick", () => {
    const { dispatcher, time } = handDispatcher()
    const seen: Array<number> = []
    const look = () => {
      seen.push(dispatcher.nowMs)
      time.nowMs += 7
    }
    const queue = dispatcher.runQueue(1)
    queue.schedule(new Load(2, 1, look))
    dispatcher.flushLater({ flush: look })
    dispatcher.tick()
    queue.schedule(new Load(1, 1, look))
    dispatcher.tick()
    expect(seen).toEqual([1_000_000, 1_000_000, 1_000_000, 1_000_021])
  })

  effect("its instant is the clock's of the context", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(55_000)
      const dispatcher = yield* Dispatcher.make()
      yield* TestClock.adjust(500)
      let seen = 0
      dispatcher.flushLater({
        flush: () => {
          seen = dispatcher.nowMs
        }
      })
      yield* nextImmediate
      yield* nextImmediate
      expect(seen).toBe(55_500)
    })
  )
})

describe("Dispatcher: flushes", () => {
  test("once a request, after all turns of the tick, in the order of the requests", () => {
    const { dispatcher } = handDispatcher({ quantum: 1 })
    const order: Array<string> = []
    const flushLater = (name: string) => dispatcher.flushLater({ flush: () => order.push(`flush ${name}`) })
    const queue = dispatcher.runQueue(1)
    for (const name of ["a", "b"]) {
      queue.schedule(
        new Load(1, 1, () => {
          order.push(`turn ${name}`)
          flushLater(name)
        })
      )
    }
    dispatcher.tick()
    dispatcher.tick()
    expect(order).toEqual(["turn a", "turn b", "flush a", "flush b"])
  })

  test("a flush asked for by a flush belongs to the next tick", () => {
    const { dispatcher } = handDispatcher()
    let flushes = 0
    const again = {
      flush: () => {
        flushes++
        if (flushes < 5) dispatcher.flushLater(again)
      }
    }
    dispatcher.flushLater(again)
    const counts = [1, 2, 3, 4, 5, 6].map(() => {
      dispatcher.tick()
      return flushes
    })
    expect(counts).toEqual([1, 2, 3, 4, 5, 5])
  })

  test("a tick cut short by the clock flushes what its turns wrote", () => {
    const { dispatcher, time } = handDispatcher({ tickMs: 1, turnBudget: 100 })
    let flushes = 0
    const write = () => {
      time.elapsedMs += 2
      dispatcher.flushLater({ flush: () => flushes++ })
    }
    scheduleAll(dispatcher.runQueue(1), endless(3, undefined, write))
    dispatcher.tick()
    expect(flushes).toBe(1)
  })
})

describe("Dispatcher: bugs in what it runs", () => {
  test("a turn that throws leaves the line; its queue and the others run on", () => {
    const { dispatcher } = handDispatcher()
    const bug = new RangeError("a bug")
    const thrower = new Load(5, 1, () => {
      throw bug
    })
    const queue = dispatcher.runQueue(1)
    const [before, after, elsewhere] = [new Load(1), new Load(1), new Load(1)]
    for (const turn of [before, thrower, after]) queue.schedule(turn)
    dispatcher.runQueue(1).schedule(elsewhere)
    dispatcher.tick()
    expect([before.served, after.served, elsewhere.served]).toEqual([1, 1, 1])
    expect(thrower.turns).toBe(1)
    expect(dispatcher.takeDefects()).toEqual([bug])
    expect(dispatcher.takeDefects()).toEqual([])
    const later = new Load(1)
    queue.schedule(later)
    dispatcher.tick()
    expect(later.served).toBe(1)
  })

  test("a flush that throws keeps none of the others from running, and is not repeated", () => {
    const { dispatcher } = handDispatcher()
    const bug = new RangeError("a bug")
    const order: Array<number> = []
    for (const i of [0, 1, 2]) {
      dispatcher.flushLater({
        flush: () => {
          order.push(i)
          if (i === 1) throw bug
        }
      })
    }
    dispatcher.tick()
    dispatcher.tick()
    expect(order).toEqual([0, 1, 2])
    expect(dispatcher.takeDefects()).toEqual([bug])
  })

  effect("the fiber logs the bug and lives on", () => {
    const logged: Array<unknown> = []
    const recorder = Logger.make(({ cause }) => logged.push(cause))
    return Effect.gen(function* () {
      const dispatcher = yield* Dispatcher.make()
      const queue = dispatcher.runQueue(1)
      queue.schedule(
        new Load(1, 1, () => {
          throw new RangeError("a bug")
        })
      )
      for (let i = 0; i < 3; i++) yield* nextImmediate
      expect(logged.length).toBe(1)
      const load = new Load(1)
      queue.schedule(load)
      for (let i = 0; i < 3; i++) yield* nextImmediate
      expect(load.served).toBe(1)
    }).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, recorder)))
  })
})

describe("Dispatcher: the fiber", () => {
  live("runs what was scheduled before it started, what comes later, and flushes without turns", () =>
    Effect.gen(function* () {
      const dispatcher = yield* Dispatcher.make()
      const queue = dispatcher.runQueue(1)
      const loads = [new Load(1), new Load(1)] as const
      queue.schedule(loads[0])
      for (let i = 0; i < 3; i++) yield* nextImmediate
      queue.schedule(loads[1])
      for (let i = 0; i < 3; i++) yield* nextImmediate
      expect(loads.map((load) => load.served)).toEqual([1, 1])
      let flushes = 0
      dispatcher.flushLater({ flush: () => flushes++ })
      for (let i = 0; i < 3; i++) yield* nextImmediate
      expect(flushes).toBe(1)
    })
  )

  live("goes on when turns and flushes ask for more while it runs", () =>
    Effect.gen(function* () {
      const dispatcher = yield* Dispatcher.make({ tickMs: 0 })
      let flushes = 0
      const again = {
        flush: () => {
          flushes++
          if (flushes < 5) dispatcher.flushLater(again)
        }
      }
      dispatcher.flushLater(again)
      for (let i = 0; i < 10; i++) yield* nextImmediate
      expect(flushes).toBe(5)
      const queue = dispatcher.runQueue(1)
      const last = new Load(1)
      queue.schedule(new Load(1, 1, () => queue.schedule(last)))
      for (let i = 0; i < 10; i++) yield* nextImmediate
      expect(last.served).toBe(1)
    })
  )

  live("a tick that itself fails ends it, and is logged: nothing goes wrong in silence", () =>
    Effect.gen(function* () {
      const logged: Array<unknown> = []
      const recorder = Logger.make(({ cause }) => logged.push(cause))
      const bug = new RangeError("a bug")
      let isBroken = false
      const elapsed = () => {
        if (isBroken) throw bug
        return 0
      }
      yield* Effect.gen(function* () {
        const dispatcher = yield* Dispatcher.make({ elapsed })
        isBroken = true
        dispatcher.runQueue(1).schedule(new Load(1))
        for (let i = 0; i < 3; i++) yield* nextImmediate
        expect(logged).toEqual([Cause.die(bug)])
        isBroken = false
        const late = new Load(1)
        dispatcher.runQueue(1).schedule(late)
        for (let i = 0; i < 3; i++) yield* nextImmediate
        expect(late.served).toBe(0)
      }).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, recorder)))
    })
  )

  live("sleeps while there is no work", () =>
    Effect.gen(function* () {
      const dispatcher = yield* Dispatcher.make()
      dispatcher.runQueue(1).schedule(new Load(1))
      for (let i = 0; i < 50; i++) yield* nextImmediate
      expect(dispatcher.ticks).toBe(1)
    })
  )

  live("what is scheduled within one turn of the event loop is one tick's work", () =>
    Effect.gen(function* () {
      const dispatcher = yield* Dispatcher.make()
      const queues = [1, 2, 3].map((weight) => dispatcher.runQueue(weight))
      const loads = queues.flatMap((queue) => scheduleAll(queue, [new Load(3), new Load(4)]))
      for (let i = 0; i < 10; i++) yield* nextImmediate
      expect(served(loads)).toBe(21)
      expect(dispatcher.ticks).toBe(1)
    })
  )

  live("sockets, timers and immediates are served while an actor never runs out of work", () =>
    Effect.gen(function* () {
      const dispatcher = yield* Dispatcher.make({ tickMs: 2 })
      const flood = endless(1)
      scheduleAll(dispatcher.runQueue(1), flood)
      yield* nextImmediate
      for (let exchange = 0; exchange < 3; exchange++) {
        const before = served(flood)
        expect(yield* askOverSocket(`ping ${exchange}`)).toBe(`ping ${exchange}`)
        expect(served(flood)).toBeGreaterThan(before)
      }
      yield* Effect.async<void>((resume) => {
        setTimeout(() => resume(Effect.void), 1)
      })
      expect(dispatcher.ticks).toBeGreaterThan(3)
    })
  )

  live("ends with its scope, also one that was built uninterruptibly", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const dispatcher = yield* Effect.uninterruptible(Scope.extend(Dispatcher.make({ tickMs: 1 }), scope))
      const flood = endless(1)
      scheduleAll(dispatcher.runQueue(1), flood)
      for (let i = 0; i < 5; i++) yield* nextImmediate
      expect(served(flood)).toBeGreaterThan(0)
      yield* Scope.close(scope, Exit.void)
      const { ticks } = dispatcher
      dispatcher.flushLater({ flush: () => {} })
      for (let i = 0; i < 10; i++) yield* nextImmediate
      expect(dispatcher.ticks).toBe(ticks)
    })
  )
})

/** Sends a line over a loopback TCP connection to an echo and waits for it to come back. */
const askOverSocket = (line: string): Effect.Effect<string> =>
  Effect.acquireUseRelease(
    Effect.sync(() =>
      Bun.listen({
        hostname: "127.0.0.1",
        port: 0,
        socket: { data: (socket, bytes) => void socket.write(bytes) }
      })
    ),
    (listener) =>
      Effect.promise<string>(
        () =>
          new Promise((resolve, reject) => {
            Bun.connect({
              hostname: "127.0.0.1",
              port: listener.port,
              socket: {
                open: (socket) => void socket.write(line),
                data: (socket, bytes) => {
                  resolve(bytes.toString())
                  socket.end()
                },
                connectError: (_socket, error) => reject(error)
              }
            }).catch(reject)
          })
      ),
    (listener) => Effect.sync(() => listener.stop(true))
  )
