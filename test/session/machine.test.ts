/**
 * Any sequence of what clients, the router and time can do, against a book of what must hold: the client's
 * window, the identifiers, the order, and that no message is lost without a counter saying so.
 */

import { describe, expect, test } from "bun:test"
import * as fc from "effect/FastCheck"
import type { Publication } from "../../src/router/Publication.ts"
import type { TenantSettings } from "../../src/tenant/TenantSettings.ts"
import { Machine, type Output, payloadOf, type Sent } from "./Machine.ts"

type Step =
  | {
      readonly _tag: "Connect"
      readonly clean: boolean
      readonly window: number
      readonly expiry: number
      readonly isTakeover: boolean
    }
  | { readonly _tag: "Lose" }
  | { readonly _tag: "Disconnect"; readonly expiry: number | undefined }
  | { readonly _tag: "Give"; readonly qos: 0 | 1 | 2; readonly expiry: number; readonly isLarge: boolean }
  /** `pick` chooses among the messages in flight; one beyond them is an identifier that nothing has. */
  | { readonly _tag: "Ack"; readonly pick: number; readonly isFailure: boolean; readonly isWrong: boolean }
  | { readonly _tag: "Publish"; readonly qos: 0 | 1 | 2; readonly id: number }
  | { readonly _tag: "Pubrel"; readonly id: number }
  | { readonly _tag: "Outcome"; readonly pick: number; readonly isFailure: boolean }
  | { readonly _tag: "Wait"; readonly ms: number }
  | { readonly _tag: "Room"; readonly hasRoom: boolean }
  | { readonly _tag: "Stall"; readonly isStalled: boolean }

const tagged = <Tag extends Step["_tag"], Fields extends Record<string, fc.Arbitrary<unknown>>>(
  _tag: Tag,
  fields: Fields
) =>
  fc.record({ _tag: fc.constant(_tag), ...fields }) as unknown as fc.Arbitrary<Extract<Step, { _tag: Tag }>>

const qos = fc.constantFrom(0, 1, 2)
const often = fc.integer({ min: 0, max: 9 }).map((number) => number === 0)

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: tagged("Connect", {
      clean: often,
      window: fc.integer({ min: 1, max: 4 }),
      expiry: fc.constantFrom(0, 30, 30, 0xffff_ffff),
      isTakeover: fc.boolean()
    })
  },
  { weight: 1, arbitrary: tagged("Lose", {}) },
  { weight: 1, arbitrary: tagged("Disconnect", { expiry: fc.constantFrom(undefined, 0, 30) }) },
  { weight: 12, arbitrary: tagged("Give", { qos, expiry: fc.constantFrom(-1, -1, 5), isLarge: often }) },
  { weight: 12, arbitrary: tagged("Ack", { pick: fc.nat(3), isFailure: often, isWrong: often }) },
  { weight: 5, arbitrary: tagged("Publish", { qos, id: fc.integer({ min: 1, max: 4 }) }) },
  { weight: 3, arbitrary: tagged("Pubrel", { id: fc.integer({ min: 1, max: 4 }) }) },
  { weight: 5, arbitrary: tagged("Outcome", { pick: fc.nat(3), isFailure: often }) },
  { weight: 2, arbitrary: tagged("Wait", { ms: fc.constantFrom(100, 3000, 31_000) }) },
  { weight: 1, arbitrary: tagged("Room", { hasRoom: fc.boolean() }) },
  { weight: 1, arbitrary: tagged("Stall", { isStalled: fc.boolean() }) }
)

interface InFlight {
  readonly publication: Publication
  readonly id: number
  readonly qos: number
  isReleased: boolean
  /** Sent on the present connection. */
  isCurrent: boolean
  /** The present connection sent its PUBREL alone, which no quota holds back. [MQTT-4.9.0-3] */
  isPubrelOnly: boolean
}

/** What a client and an accountant would know. */
class Book {
  readonly machine: Machine
  private window = 0
  private given = 0
  private accepted = 0
  private completed = 0
  private discarded = 0
  private inFlight: Array<InFlight> = []
  private resends: ReadonlyArray<InFlight> = []
  /** QoS 2 identifiers that the client has not released: true once the router has had its say. */
  private readonly open = new Map<number, Publication>()
  private owed: Array<string> = []
  private outcomes: Array<Publication> = []

  constructor(settings: Partial<TenantSettings>) {
    this.machine = new Machine({ inflightMax: 4, ...settings })
    this.machine.payloadBytesMax = 6
  }

  run(each: Step): void {
    const { machine } = this
    const { isConnected } = machine
    switch (each._tag) {
      case "Connect":
        return this.connect(each)
      case "Lose":
        if (isConnected) this.lose()
        return
      case "Disconnect":
        if (isConnected) {
          const { expiry } = each
          machine.disconnect(0, expiry === undefined ? {} : { sessionExpiryInterval: expiry })
          this.look()
        }
        return
      case "Give":
        return this.give(each)
      case "Ack":
        if (isConnected) this.ack(each)
        return
      case "Publish":
        if (isConnected && machine.state.parked === undefined) this.publish(each.qos, each.id)
        return
      case "Pubrel":
        if (!isConnected || machine.state.parked !== undefined) return
        machine.pubrel(each.id)
        this.open.delete(each.id)
        return this.look()
      case "Outcome":
        return this.outcome(each.pick, each.isFailure)
      case "Wait":
        this.ending(() => machine.wait(each.ms))
        return this.look()
      case "Room":
        machine.routerHasSpace = each.hasRoom
        return
      case "Stall": {
        const link = machine.state.link as { backlogBytes: number } | undefined
        if (link !== undefined) link.backlogBytes = each.isStalled ? 10_000_000 : 0
        return
      }
    }
  }

  /** Received is completed, counted as dropped, discarded with its session, or still held. */
  balance(): void {
    const { counters, inflight } = this.machine
    const { droppedExpired, droppedQueueFull, droppedTooLarge } = counters
    const dropped = droppedQueueFull + droppedExpired + droppedTooLarge
    expect(this.accepted).toBe(this.completed + dropped + this.discarded + inflight)
  }

  private connect(each: Extract<Step, { _tag: "Connect" }>): void {
    const { machine } = this
    if (machine.isConnected && !each.isTakeover) this.lose()
    const heldBefore = machine.inflight
    this.window = Math.min(each.window, 4)
    this.forgetConnection()
    this.resends = this.inFlight.map((entry) => ({ ...entry }))
    for (const entry of this.inFlight) {
      entry.isCurrent = false
      entry.isPubrelOnly = false
    }
    const droppedBefore = this.dropped
    machine.connect({
      clean: each.clean,
      properties: { receiveMaximum: each.window, sessionExpiryInterval: each.expiry }
    })
    const [connack] = machine.take("Control")
    const packet = connack?.packet
    if (packet?._tag !== "Connack") throw new Error("CONNACK does not come first")
    if (!packet.sessionPresent) {
      this.discarded += heldBefore - (this.dropped - droppedBefore)
      this.inFlight = []
      this.resends = []
      this.open.clear()
    }
    machine.take("Close")
    this.look()
  }

  private get dropped(): number {
    const { droppedExpired, droppedQueueFull, droppedTooLarge } = this.machine.counters
    return droppedQueueFull + droppedExpired + droppedTooLarge
  }

  private forgetConnection(): void {
    this.owed = []
    const { parked } = this.machine.state
    if (parked?._tag === "Room" && parked.publication.qos === 2) this.open.delete(parked.publication.packetId)
  }

  private lose(): void {
    this.forgetConnection()
    this.machine.lose()
    this.look()
  }

  private ending(run: () => boolean): void {
    const held = this.machine.inflight
    if (!run()) return
    this.discarded += held
    this.inFlight = []
    this.open.clear()
  }

  private give(each: Extract<Step, { _tag: "Give" }>): void {
    const { expiry, isLarge, qos } = each
    const payload = `${isLarge ? "large" : ""} ${this.given++}`
    if (qos > 0) this.accepted++
    const before = this.dropped
    this.machine.give({ payload, qos, messageExpiryInterval: expiry })
    // Messages of QoS 0 have no place in the book of what is owed.
    if (qos === 0) this.accepted += this.dropped - before
    this.look()
  }

  private ack(each: Extract<Step, { _tag: "Ack" }>): void {
    const { isFailure, isWrong, pick } = each
    // Also of what an earlier connection brought and this one has not repeated yet.
    const entry = this.inFlight[pick]
    if (entry === undefined || isWrong) {
      this.machine.ack(isWrong ? "Pubcomp" : "Puback", 60_000 + pick)
      return this.look()
    }
    const { id, isReleased, qos } = entry
    const reasonCode = isFailure ? 0x97 : 0
    const isLast = qos === 1 || isReleased || isFailure
    if (isLast) {
      this.completed++
      this.inFlight = this.inFlight.filter((one) => one !== entry)
    } else {
      entry.isReleased = true
    }
    this.machine.ack(qos === 1 ? "Puback" : isReleased ? "Pubcomp" : "Pubrec", id, reasonCode)
    this.look()
  }

  private publish(qos: 0 | 1 | 2, id: number): void {
    const { machine } = this
    // A client does not use an identifier for one message while another has it.
    if (qos === 1 && (this.open.has(id) || this.owed.some((ack) => ack.endsWith(` ${id}`)))) return
    if (qos === 2 && this.owed.includes(`Puback ${id}`)) return
    if (qos > 0) this.owed.push(`${qos === 1 ? "Puback" : "Pubrec"} ${id}`)
    machine.publish({ qos, packetId: qos === 0 ? 0 : id })
    const parked = machine.state.parked?._tag === "Room" ? machine.state.parked.publication : undefined
    const routed = [
      ...machine.take("Routed").map((output) => output.publication),
      ...(parked ? [parked] : [])
    ]
    // [MQTT-4.3.3-10]
    expect(routed.length).toBe(qos === 2 && this.open.has(id) ? 0 : 1)
    for (const publication of routed) {
      if (qos === 2) this.open.set(id, publication)
      if (qos > 0 && parked === undefined) this.outcomes.push(publication)
    }
    if (parked !== undefined) {
      // The router has room again before long.
      machine.state.parked = undefined
      if (qos > 0) this.outcomes.push(parked)
    }
    this.look()
  }

  private outcome(pick: number, isFailure: boolean): void {
    const [publication] = this.outcomes.splice(pick, 1)
    if (publication === undefined) return
    this.machine.outcome(publication, isFailure ? 0x97 : 0)
    this.look()
  }

  /** Reads what was sent as the client does. */
  private look(): void {
    for (const output of this.machine.all()) this.read(output)
    // [MQTT-3.3.4-9]
    const unacknowledged = this.inFlight.filter((entry) => entry.isCurrent && !entry.isPubrelOnly)
    expect(unacknowledged.length).toBeLessThanOrEqual(this.window)
    this.balance()
  }

  private read(output: Output): void {
    switch (output._tag) {
      case "Sent":
        if (output.qos > 0) this.received(output)
        else expect([output.packetId, output.dup]).toEqual([0, false])
        return
      case "Pubrel": {
        if (output.reasonCode !== 0) return
        const entry = this.inFlight.find((one) => one.id === output.packetId)
        expect(entry?.isReleased).toBe(true)
        if (entry === undefined || entry.isCurrent) return
        // Its turn has come, or it answers a PUBREC for what this connection had not repeated.
        entry.isPubrelOnly = true
        this.resent(entry)
        return
      }
      case "Puback":
      case "Pubrec":
        // [MQTT-4.6.0-2] [MQTT-4.6.0-3]
        expect(`${output._tag} ${output.packetId}`).toBe(this.owed.shift() ?? "nothing is owed")
        if (output._tag === "Pubrec" && output.reasonCode >= 0x80) this.open.delete(output.packetId)
        return
      default:
        return
    }
  }

  private received(sent: Sent): void {
    const { dup, packetId, publication, qos } = sent
    const known = this.inFlight.find((one) => one.id === packetId)
    // [MQTT-3.3.1-1] [MQTT-3.3.1-3] [MQTT-2.2.1-4]
    expect(dup).toBe(known !== undefined)
    if (known === undefined) {
      // [MQTT-4.4.0-1]: what is owed again comes before what is new
      expect(this.inFlight.filter((one) => !one.isCurrent)).toEqual([])
      this.inFlight.push({
        publication,
        id: packetId,
        qos,
        isReleased: false,
        isCurrent: true,
        isPubrelOnly: false
      })
      return
    }
    expect(payloadOf(known.publication)).toBe(payloadOf(publication))
    expect([known.isCurrent, known.isReleased]).toEqual([false, false])
    this.resent(known)
  }

  private resent(entry: InFlight): void {
    const owed = this.resends.filter((one) => this.inFlight.some((held) => held.id === one.id))
    const known = owed.find((one) => one.id === entry.id)
    // [MQTT-4.4.0-1] [MQTT-4.6.0-1]: PUBLISHes and PUBRELs each in the order of the first time
    const inTurn = owed.find((one) => one.isReleased === known?.isReleased)
    if (known?.isReleased === entry.isReleased) expect(entry.id).toBe(inTurn?.id ?? 0)
    this.resends = owed.filter((one) => one !== known)
    entry.isCurrent = true
  }
}

const run = (settings: Partial<TenantSettings>) =>
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120, size: "max" }), (steps) => {
      const book = new Book(settings)
      for (const each of steps) book.run(each)
      book.balance()
    }),
    { numRuns: 400, seed: 20_261_122 }
  )

describe("whatever happens to a session", () => {
  test("[MQTT-4.9.0-1] [MQTT-4.3.3-10] [MQTT-4.6.0-2] [MQTT-4.4.0-1] its invariants hold", () => run({}))
  test("also with a queue of three that drops its oldest", () =>
    run({ queueMessagesMax: 3, queuePolicy: "drop-oldest" }))
  test("also with a queue of three that drops what is new", () =>
    run({ queueMessagesMax: 3, queuePolicy: "drop-newest" }))
  test("also with a queue of thirty bytes", () => run({ queueBytesMax: 30 }))
})
