/**
 * A hashed timing wheel: many deadlines, no timer each. A tenant has one; `Timekeeper` turns them all.
 *
 * Time is cut into ticks of `tickMs`; the slot of a deadline is its tick modulo the number of slots, and a slot is a
 * doubly linked list through the deadlines themselves, so scheduling, moving and cancelling are a few assignments and
 * allocate nothing. A deadline further away than one revolution waits in its slot and is looked at once a revolution.
 * A deadline fires at its instant or up to one tick later, never earlier; of one tick in no particular order.
 *
 * Pure: instants come in as arguments.
 */

/** `Deadline.slot` of one that is not scheduled, and of one that is due and will be fired by the `advance` under way. */
const IDLE = -1
const DUE = -2

/** Something with a deadline. Owners extend or embed it; a wheel links it while it is scheduled. */
export abstract class Deadline {
  /** Milliseconds since the epoch; meaningful while scheduled. */
  atMs = 0
  /** The links of the wheel. Nobody else touches them. */
  next: Deadline | undefined = undefined
  previous: Deadline | undefined = undefined
  slot = IDLE

  /** The instant has come. Runs with the deadline unscheduled, so it may be scheduled again. Must not throw. */
  abstract onDeadline(nowMs: number): void

  get scheduled(): boolean {
    return this.slot >= 0
  }
}

export class DeadlineWheel {
  private readonly slots: Array<Deadline | undefined>
  /** The last tick that has been processed completely. */
  private lastTick: number
  private count = 0

  constructor(
    nowMs: number,
    readonly tickMs: number = 100,
    slots: number = 512
  ) {
    this.slots = new Array<Deadline | undefined>(slots).fill(undefined)
    this.lastTick = Math.floor(nowMs / tickMs)
  }

  /** Deadlines scheduled. */
  get size(): number {
    return this.count
  }

  /** Schedules, or moves, a deadline. An instant that has passed fires at the next `advance`. */
  schedule(deadline: Deadline, atMs: number): void {
    if (deadline.slot >= 0) this.cancel(deadline)
    deadline.atMs = atMs
    // Rounded up: the tick that processes it must not come before its instant.
    const tick = Math.max(Math.ceil(atMs / this.tickMs), this.lastTick + 1)
    const slot = tick % this.slots.length
    const first = this.slots[slot]
    deadline.slot = slot
    deadline.next = first
    deadline.previous = undefined
    if (first !== undefined) first.previous = deadline
    this.slots[slot] = deadline
    this.count++
  }

  /** Does nothing when it is not scheduled. */
  cancel(deadline: Deadline): void {
    if (deadline.slot === DUE) deadline.slot = IDLE
    if (deadline.slot < 0) return
    const { next, previous } = deadline
    if (previous === undefined) this.slots[deadline.slot] = next
    else previous.next = next
    if (next !== undefined) next.previous = previous
    deadline.next = undefined
    deadline.previous = undefined
    deadline.slot = IDLE
    this.count--
  }

  /** Fires everything due at `nowMs`. After a long sleep every slot is visited once, not once a missed tick. */
  advance(nowMs: number): void {
    const tick = Math.floor(nowMs / this.tickMs)
    if (tick <= this.lastTick) return
    const first = this.lastTick + 1
    const steps = Math.min(tick - this.lastTick, this.slots.length)
    this.lastTick = tick
    if (this.count === 0) return
    for (let step = 0; step < steps; step++) this.fire((first + step) % this.slots.length, nowMs)
  }

  private fire(slot: number, nowMs: number): void {
    // Collected first, then fired: a handler may schedule or cancel any deadline, also one that is due in this very call.
    let due: Array<Deadline> | undefined
    for (let deadline = this.slots[slot]; deadline !== undefined; ) {
      const { next } = deadline
      if (deadline.atMs <= nowMs) {
        this.cancel(deadline)
        deadline.slot = DUE
        due ??= []
        due.push(deadline)
      }
      deadline = next
    }
    if (due === undefined) return
    for (const deadline of due) {
      if (deadline.slot !== DUE) continue
      deadline.slot = IDLE
      deadline.onDeadline(nowMs)
    }
  }
}
