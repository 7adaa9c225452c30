/**
 * Somebody who follows one client: lines come in from connections and events, and wait until they are read.
 *
 * It never holds up whoever adds a line. So many lines a second are taken, the others are counted and told of
 * by a note; one that is not read while its buffer fills is cut off; time, or a number of packets, ends it.
 * Pure but for `wake`: instants come in.
 */

import * as Effect from "effect/Effect"
import { LineLimit } from "../../events/LineLimit.ts"
import type { FollowedLine } from "./FollowedLine.ts"

export interface FollowOptions {
  readonly tenant: string
  readonly clientId: string
  /** Packets after which it ends; endless when undefined. */
  readonly packetsMax: number | undefined
  /** Milliseconds since the epoch. */
  readonly untilMs: number
  /** How much is shown of the payload of a PUBLISH. */
  readonly payloadBytes: number
}

export const linesPerSecond = 200

/** What may wait to be read: seconds of it, at that rate. */
const WAITING_MAX = 2000
const WAITING_CHARS_MAX = 1024 * 1024

export class Follower {
  private lines: Array<string> = []
  private chars = 0
  private leftOut = 0
  private packets = 0
  private over = false
  private readonly limit: LineLimit
  private waiter: ((effect: Effect.Effect<void>) => void) | undefined

  constructor(
    readonly options: FollowOptions,
    nowMs: number,
    private readonly ended: (follower: Follower) => void
  ) {
    this.limit = new LineLimit(linesPerSecond, nowMs)
  }

  /** It takes nothing any more; what it has taken can still be read. */
  get isOver(): boolean {
    return this.over
  }

  /** Whether it follows a client; one whose tenant is not known yet could be its own. */
  follows(clientId: string, tenant: string | undefined): boolean {
    const { options } = this
    return options.clientId === clientId && (tenant === undefined || options.tenant === tenant)
  }

  /** Whether a line may be added now; if not, it is counted. */
  admits(nowMs: number): boolean {
    if (this.over) return false
    if (nowMs >= this.options.untilMs) {
      this.end(nowMs, "its time is over")
      return false
    }
    if (this.limit.admit(nowMs) === undefined) {
      this.leftOut++
      return false
    }
    this.tellLeftOut(nowMs)
    return true
  }

  /** Adds a line that was admitted. */
  add(line: FollowedLine, nowMs: number): void {
    this.push(line, nowMs)
    if (this.over || line.kind !== "packet") return
    this.packets++
    const { packetsMax } = this.options
    if (packetsMax !== undefined && this.packets >= packetsMax) {
      this.end(nowMs, `${this.packets} packets were shown`)
    }
  }

  /** Adds a word of our own, if there is room for it. */
  note(text: string, nowMs: number): void {
    if (this.admits(nowMs)) this.push(noteOf(text, nowMs), nowMs)
  }

  /** Time has passed: tells what was left out, and ends when it is time. */
  tick(nowMs: number): void {
    if (this.over) return
    if (nowMs >= this.options.untilMs) return this.end(nowMs, "its time is over")
    if (this.leftOut > 0 && this.limit.admit(nowMs) !== undefined) this.tellLeftOut(nowMs)
  }

  /** Completes when there is something to read, or nothing will come any more. For one reader. */
  get wake(): Effect.Effect<void> {
    return Effect.async<void>((resume) => {
      if (this.lines.length > 0 || this.over) return resume(Effect.void)
      this.waiter = resume
    })
  }

  /** The lines that wait, as JSON. None at the end, or when there are none yet. */
  take(): ReadonlyArray<string> {
    const { lines } = this
    this.lines = []
    this.chars = 0
    return lines
  }

  /** Nobody reads it any more. */
  close(): void {
    if (this.over) return
    this.over = true
    this.ended(this)
    this.call()
  }

  private end(nowMs: number, reason: string): void {
    this.tellLeftOut(nowMs)
    if (this.over) return
    this.append(JSON.stringify(noteOf(`no longer followed: ${reason}`, nowMs)))
    this.close()
  }

  private tellLeftOut(nowMs: number): void {
    const { leftOut } = this
    if (leftOut === 0) return
    this.leftOut = 0
    this.push(noteOf(`${leftOut} lines left out: more than ${linesPerSecond} a second`, nowMs), nowMs)
  }

  private push(line: FollowedLine, nowMs: number): void {
    const text = JSON.stringify(line)
    if (this.lines.length >= WAITING_MAX || this.chars + text.length > WAITING_CHARS_MAX) {
      this.leftOut = 0
      return this.end(nowMs, "what was told was not read")
    }
    this.append(text)
    this.call()
  }

  private append(text: string): void {
    this.lines.push(text)
    this.chars += text.length
  }

  private call(): void {
    const { waiter } = this
    this.waiter = undefined
    waiter?.(Effect.void)
  }
}

const noteOf = (text: string, nowMs: number): FollowedLine => ({
  kind: "note",
  at: new Date(nowMs).toISOString(),
  text
})
