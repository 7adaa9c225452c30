/**
 * Tells of messages that were dropped without telling of every one: once a second for each reason, with the
 * number of them. What was dropped in between is told by `flush`, so that the numbers add up. Pure: instants
 * come in.
 */

import type { DropReason } from "./Event.ts"

/** The topic and QoS are those of the last of them. */
export interface Drops {
  readonly reason: DropReason
  readonly topic: string
  readonly qos: number
  readonly count: number
}

interface Untold {
  topic: string
  qos: number
  count: number
  toldMs: number
}

const TOLD_EVERY_MS = 1000

export class DropTally {
  private readonly reasons = new Map<DropReason, Untold>()
  /** Nothing is untold. */
  isTold = true

  constructor(private readonly tell: (drops: Drops) => void) {}

  dropped(topic: string, reason: DropReason, qos: number, nowMs: number): void {
    const untold = this.reasons.get(reason)
    if (untold === undefined) {
      this.reasons.set(reason, { topic, qos, count: 0, toldMs: nowMs })
      return this.tell({ reason, topic, qos, count: 1 })
    }
    untold.topic = topic
    untold.qos = qos
    untold.count++
    if (!isDue(untold, nowMs)) this.isTold = false
    else this.tellOf(reason, untold, nowMs)
  }

  /** Tells of what it has left out and may tell again; of all of it, if it is the last chance. */
  flush(nowMs: number, isLast: boolean): void {
    if (this.isTold) return
    this.isTold = true
    for (const [reason, untold] of this.reasons) {
      if (untold.count === 0) continue
      if (isLast || isDue(untold, nowMs)) this.tellOf(reason, untold, nowMs)
      else this.isTold = false
    }
  }

  private tellOf(reason: DropReason, untold: Untold, nowMs: number): void {
    const { count, qos, topic } = untold
    untold.count = 0
    untold.toldMs = nowMs
    this.tell({ reason, topic, qos, count })
  }
}

/** A clock that was set back must not silence it. */
const isDue = ({ toldMs }: Untold, nowMs: number): boolean =>
  nowMs - toldMs >= TOLD_EVERY_MS || nowMs < toldMs
