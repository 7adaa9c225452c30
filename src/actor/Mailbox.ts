/**
 * A bounded, typed mailbox: what the senders of an actor put in and its turn takes out, in order.
 *
 * Bounded by count and by bytes, and the sender learns of a refusal at once, because only the sender can
 * decide what it means: a connection stops reading its socket, a router drops QoS 0 and counts it. A mailbox
 * does not schedule anything; `Actor` does.
 */

import { Fifo } from "./Fifo.ts"

export interface MailboxLimits<M> {
  readonly countMax: number
  readonly bytesMax: number
  /** What a message weighs against `bytesMax`: the same when it is taken as when it was offered. */
  readonly bytesOf: (message: M) => number
}

export class Mailbox<M> {
  private readonly messages = new Fifo<M>()
  private weight = 0

  constructor(private readonly limits: MailboxLimits<M>) {}

  get length(): number {
    return this.messages.length
  }

  get bytes(): number {
    return this.weight
  }

  /** False, and nothing happened, when the mailbox is full. One message always fits, whatever it weighs. */
  offer(message: M): boolean {
    const bytes = this.limits.bytesOf(message)
    const count = this.messages.length
    if (count > 0 && (count >= this.limits.countMax || this.weight + bytes > this.limits.bytesMax))
      return false
    this.weight += bytes
    this.messages.push(message)
    return true
  }

  /** Accepts a message whatever the limits: for those that something else bounds (a reply, a timer). */
  admit(message: M): void {
    this.weight += this.limits.bytesOf(message)
    this.messages.push(message)
  }

  take(): M | undefined {
    const message = this.messages.shift()
    if (message !== undefined) this.weight -= this.limits.bytesOf(message)
    return message
  }

  clear(): void {
    this.messages.clear()
    this.weight = 0
  }
}
