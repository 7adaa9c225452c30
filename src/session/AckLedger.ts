/**
 * The acknowledgements that a client is owed, in the order of its PUBLISHes: one leaves when it is settled
 * and all before it have left. [MQTT-4.6.0-2] [MQTT-4.6.0-3] [v3 MQTT-4.6.0-6]
 *
 * An entry is one number: identifier, QoS and, once settled, the reason code. The router settles in order, so
 * an entry is nearly always found at once; the scan goes on only while a repetition waits.
 */

import type { Qos } from "../protocol/Packet.ts"

const PENDING = 0x1ff
const CODE_SHIFT = 18
const QOS_SHIFT = 16
const ID_MASK = 0xffff
/** In the place of the QoS: a QoS 2 PUBLISH again, before the outcome of the first. */
const REPEATED = 3

/** Receives what may be sent now. */
export type AckWriter = (qos: Qos, packetId: number, reasonCode: number) => void

export class AckLedger {
  private entries: Array<number> = []
  private head = 0
  /** Repetitions that are pending. */
  private repeated = 0

  get length(): number {
    return this.entries.length - this.head
  }

  /** A PUBLISH was accepted for routing; its outcome is to come. */
  expect(qos: Qos, packetId: number): void {
    this.entries.push((PENDING << CODE_SHIFT) | (qos << QOS_SHIFT) | packetId)
  }

  /**
   * A PUBLISH whose outcome is known at once (a duplicate, a refusal): its turn is behind those before it.
   */
  expectSettled(qos: Qos, packetId: number, reasonCode: number): void {
    this.entries.push((reasonCode << CODE_SHIFT) | (qos << QOS_SHIFT) | packetId)
  }

  /**
   * A QoS 2 PUBLISH that repeats one whose outcome is to come: it has the same, and its own acknowledgement.
   */
  expectRepeated(packetId: number): void {
    this.repeated++
    this.entries.push((PENDING << CODE_SHIFT) | (REPEATED << QOS_SHIFT) | packetId)
  }

  /** The outcome of the oldest pending PUBLISH with that identifier, and of those that repeat it. */
  settle(packetId: number, reasonCode: number): void {
    let isFirst = true
    for (let index = this.head; index < this.entries.length; index++) {
      const entry = this.entries[index]
      if (entry === undefined || (entry & ID_MASK) !== packetId || entry >>> CODE_SHIFT !== PENDING) continue
      const isRepeated = ((entry >>> QOS_SHIFT) & 3) === REPEATED
      if (!isFirst && !isRepeated) return
      isFirst = false
      if (isRepeated) this.repeated--
      this.entries[index] = (reasonCode << CODE_SHIFT) | (entry & ((1 << CODE_SHIFT) - 1))
      if (this.repeated === 0) return
    }
  }

  /** Writes out, in order, what nothing pending stands before. */
  release(write: AckWriter): void {
    while (this.head < this.entries.length) {
      const entry = this.entries[this.head]
      if (entry === undefined || entry >>> CODE_SHIFT === PENDING) break
      this.head++
      write(Math.min(2, (entry >>> QOS_SHIFT) & 3) as Qos, entry & ID_MASK, entry >>> CODE_SHIFT)
    }
    if (this.head === this.entries.length) {
      this.entries.length = 0
      this.head = 0
    } else if (this.head >= 512 && this.head * 2 >= this.entries.length) {
      this.entries.splice(0, this.head)
      this.head = 0
    }
  }
}
