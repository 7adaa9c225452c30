import { describe, expect, test } from "bun:test"
import { Gate, type Waiter } from "../../../src/tenant/quota/Gate.ts"
import { Rate, TokenBucket } from "../../../src/tenant/quota/TokenBucket.ts"

const START_MS = 1_800_000_000_000

/** A gate of so many passages a second, and clients that want to pass as often as they may. */
class Crowd {
  readonly gate: Gate
  readonly passed: Array<string> = []
  readonly wakes: Array<number> = []
  nowMs = START_MS
  private readonly granted: Array<Client> = []

  constructor(perSecond: number) {
    const rate = new Rate("tenantPublishRate")
    rate.set(perSecond, 1)
    this.gate = new Gate({ count: new TokenBucket(rate) }, (atMs) => this.wakes.push(atMs))
  }

  client(name: string): Client {
    return new Client(name, this)
  }

  grant(client: Client): void {
    this.granted.push(client)
  }

  /** Those whose turn it is take it, one after another, as actors would. */
  run(): void {
    for (let client = this.granted.shift(); client !== undefined; client = this.granted.shift()) client.go()
  }

  advance(ms: number): void {
    this.nowMs += ms
    if (this.gate.dueMs !== 0 && this.gate.dueMs <= this.nowMs) this.gate.due(this.nowMs)
    this.run()
  }
}

class Client implements Waiter {
  /** Messages that it would still send. */
  left = 0

  constructor(
    readonly name: string,
    private readonly crowd: Crowd
  ) {}

  mayPass(): void {
    this.crowd.grant(this)
  }

  send(count: number): this {
    this.left += count
    this.go()
    return this
  }

  go(): void {
    const { gate, nowMs, passed } = this.crowd
    while (this.left > 0 && gate.enter(this, nowMs)) {
      this.left--
      passed.push(this.name)
      gate.pay(1, 0, nowMs)
      gate.release(this, nowMs)
    }
    gate.release(this, nowMs)
  }
}

describe("a gate", () => {
  test("lets pass while nobody waits and nothing is owed, then asks to be woken", () => {
    const crowd = new Crowd(10)
    crowd.client("a").send(100)
    expect(crowd.passed).toHaveLength(11)
    expect(crowd.wakes).toEqual([START_MS + 100])
    crowd.advance(100)
    expect(crowd.passed).toHaveLength(12)
  })

  test("those who wait take turns, one message each", () => {
    const crowd = new Crowd(10)
    crowd.client("first").send(11)
    crowd.passed.length = 0
    for (const name of ["a", "b", "c"]) crowd.client(name).send(1000)
    for (let tick = 0; tick < 30; tick++) crowd.advance(100)
    expect(crowd.passed.join("")).toBe("abc".repeat(10))
  })

  test("a hundred of them share a bucket evenly, and none overdraws it by more than one", () => {
    const crowd = new Crowd(50)
    const names = Array.from({ length: 100 }, (_, index) => `${index}`)
    for (const name of names) crowd.client(name).send(1000)
    for (let tick = 0; tick < 400; tick++) crowd.advance(100)
    expect(crowd.passed.length).toBeLessThanOrEqual(50 + 40 * 50 + 1)
    expect(crowd.passed.length).toBeGreaterThan(40 * 50)
    // The burst went to whoever came first.
    const later = crowd.passed.slice(51)
    const counts = names.map((name) => later.filter((passed) => passed === name).length)
    expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1)
  })

  test("whoever leaves does not hold up the others, also when it was its turn", () => {
    const crowd = new Crowd(10)
    crowd.client("first").send(11)
    const [a, b] = [crowd.client("a").send(1), crowd.client("b").send(1)]
    crowd.gate.leave(a, crowd.nowMs)
    expect(crowd.gate.waiting).toBe(1)
    crowd.nowMs += 100
    crowd.gate.due(crowd.nowMs)
    const c = crowd.client("c").send(1)
    // It is b's turn; b has gone.
    crowd.gate.leave(b, crowd.nowMs)
    crowd.passed.length = 0
    b.left = 0
    crowd.run()
    expect(crowd.passed).toEqual(["c"])
    expect(c.left).toBe(0)
  })

  test("a passage whose cost comes later keeps the others waiting", () => {
    const crowd = new Crowd(10)
    const [a, b] = [crowd.client("a"), crowd.client("b")]
    expect(crowd.gate.occupy(a, START_MS)).toBe(true)
    b.send(1)
    expect(crowd.passed).toEqual([])
    crowd.gate.pay(20, 0, START_MS)
    crowd.gate.release(a, START_MS)
    crowd.run()
    expect(crowd.passed).toEqual([])
    crowd.advance(1000)
    expect(crowd.passed).toEqual(["b"])
  })

  test("limits that are lifted let all go", () => {
    const crowd = new Crowd(1)
    for (const name of ["a", "b"]) crowd.client(name).send(50)
    for (const { rate } of crowd.gate.buckets) rate.set(0, 1)
    crowd.gate.due(crowd.nowMs)
    crowd.run()
    expect(crowd.passed).toHaveLength(100)
  })
})
