/**
 * A hashed timing wheel: many deadlines, no timer each. A tenant has one; `Timekeeper` turns them all.
 *
 * Time is cut into ticks of `tickMs`; the slot of a deadline is its tick modulo the number of slots, and a
 * slot is a doubly linked list through the deadlines themselves, so scheduling, moving and cancelling are a
 * few assignments and allocate nothing. A deadline further away than one revolution waits in its slot and is
 * looked at once a revolution. A deadline fires at its instant or up to one tick later, never earlier, and
 * once each time it was scheduled; of one tick in no particular order.
 *
 * Who turns a wheel need not turn it at every tick: it says when it wants to be turned, through `wakeAt`.
 *
 * Pure: instants come in as arguments. They are the wall clock's: when it is set back, everything waits for
 * the instant it was scheduled for, and a deadline that was overdue just then may be up to a revolution late.
 */

import { Fifo } from "./Fifo.ts"

/** `Deadline.slot` of one that is not scheduled, and of one that the `advance` under way will fire. */
const IDLE = -1
const DUE = -2

/** A revolution of 6.4 seconds, in half a kilobyte. */
const SLOTS_AT_FIRST = 64

/** Something with a deadline. Owners extend or embed it; a wheel links it while it is scheduled. */
export abstract class Deadline {
  /** Milliseconds since the epoch; meaningful while scheduled. */
  atMs = 0
  /** The links of the wheel. Nobody else touches them. */
  next: Deadline | undefined = undefined
  previous: Deadline | undefined = undefined
  slot = IDLE

  /** The instant has come. The deadline is unscheduled and may be scheduled again. Must not throw. */
  abstract onDeadline(nowMs: number): void

  get scheduled(): boolean {
    return this.slot >= 0
  }
}

export class DeadlineWheel {
  /** None before the first deadline, few as long as there are few: most of ten thousand wheels are idle. */
  private slots: Array<Deadline | undefined> = []
  /** The last tick that has been processed completely. */
  private lastTick: number
  private count = 0
  private readonly due = new Fifo<Deadline>()
  /** Hears of the instant from which on the wheel should be advanced, whenever that comes nearer. */
  wakeAt: (atMs: number) => void = () => {}
  /** The tick that `wakeAt` was told last; nothing is due before it. */
  private wakeTick = Number.POSITIVE_INFINITY

  constructor(
    nowMs: number,
    readonly tickMs: number = 100,
    private readonly slotsMax: number = 512
  ) {
    this.lastTick = Math.floor(nowMs / tickMs)
  }

  /** Deadlines scheduled. */
  get size(): number {
    return this.count
  }

  /** Schedules, or moves, a deadline to a finite instant. One that has passed fires with the next tick. */
  schedule(deadline: Deadline, atMs: number): void {
    if (deadline.slot >= 0) this.cancel(deadline)
    deadline.atMs = atMs
    if (this.count >= this.slots.length && this.slots.length < this.slotsMax) this.widen()
    const tick = this.link(deadline)
    this.count++
    if (tick < this.wakeTick) this.wake(tick)
  }

  /** More deadlines than slots: with more slots each is looked at less often in vain. */
  private widen(): void {
    const { slots } = this
    this.slots = new Array<Deadline | undefined>(
      slots.length === 0 ? Math.min(SLOTS_AT_FIRST, this.slotsMax) : this.slotsMax
    ).fill(undefined)
    for (const first of slots) {
      for (let deadline = first; deadline !== undefined; ) {
        const { next } = deadline
        this.link(deadline)
        deadline = next
      }
    }
  }

  /** Puts it in the slot of its tick, which is the answer. */
  private link(deadline: Deadline): number {
    // Rounded up: the tick that processes it must not come before its instant.
    const tick = Math.max(Math.ceil(deadline.atMs / this.tickMs), this.lastTick + 1)
    const slot = tick % this.slots.length
    const first = this.slots[slot]
    deadline.slot = slot
    deadline.next = first
    deadline.previous = undefined
    if (first !== undefined) first.previous = deadline
    this.slots[slot] = deadline
    return tick
  }

  /** Does nothing when it is not scheduled. */
  cancel(deadline: Deadline): void {
    if (deadline.slot === DUE) deadline.slot = IDLE
    if (deadline.slot < 0) return
    this.unlink(deadline)
    deadline.slot = IDLE
  }

  /** Fires what is due at `nowMs`. After a long sleep every slot is visited once, not once a missed tick. */
  advance(nowMs: number): void {
    const tick = Math.floor(nowMs / this.tickMs)
    const first = this.lastTick + 1
    // None when the clock was set back: everything stands in the slot of its own tick, so it goes on there.
    const steps = Math.min(tick - this.lastTick, this.slots.length)
    this.lastTick = tick
    this.wakeTick = Number.POSITIVE_INFINITY
    if (this.count > 0) {
      for (let step = 0; step < steps; step++) this.collect((first + step) % this.slots.length, nowMs)
    }
    // Collected first, then fired: a handler may schedule or cancel any deadline, also one that is due by
    // now. What is left when one throws, which is a bug, is fired by the next call.
    for (;;) {
      const deadline = this.due.shift()
      if (deadline === undefined) return
      if (deadline.slot !== DUE) continue
      deadline.slot = IDLE
      deadline.onDeadline(nowMs)
    }
  }

  /** After an `advance`, also one that threw: tells when the next one should be. */
  rest(): void {
    if (this.due.length > 0) return this.wake(this.lastTick + 1)
    if (this.count === 0) return
    if (this.slots.length < this.slotsMax) return this.wake(this.earliestTick())
    // A slot that is not empty may hold what is due in a later revolution: then it is looked at in vain.
    let tick = this.lastTick + 1
    while (this.slots[tick % this.slots.length] === undefined) tick++
    this.wake(tick)
  }

  /** Looks at all of few deadlines, because a short revolution would look at each of them often. */
  private earliestTick(): number {
    let earliest = Number.POSITIVE_INFINITY
    for (const first of this.slots) {
      for (let deadline = first; deadline !== undefined; deadline = deadline.next) {
        if (deadline.atMs < earliest) earliest = deadline.atMs
      }
    }
    return Math.max(Math.ceil(earliest / this.tickMs), this.lastTick + 1)
  }

  private wake(tick: number): void {
    this.wakeTick = tick
    this.wakeAt(tick * this.tickMs)
  }

  private collect(slot: number, nowMs: number): void {
    for (let deadline = this.slots[slot]; deadline !== undefined; ) {
      const { next } = deadline
      if (deadline.atMs <= nowMs) {
        this.unlink(deadline)
        deadline.slot = DUE
        this.due.push(deadline)
      }
      deadline = next
    }
  }

  private unlink(deadline: Deadline): void {
    const { next, previous } = deadline
    if (previous === undefined) this.slots[deadline.slot] = next
    else previous.next = next
    if (next !== undefined) next.previous = previous
    deadline.next = undefined
    deadline.previous = undefined
    this.count--
  }
}
