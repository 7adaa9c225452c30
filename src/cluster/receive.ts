/**
 * The way in: what other nodes send is given to this node's routers, which hand it to their own subscribers
 * and never on to another node.
 *
 * Frames are taken from members alone, in the life that the membership knows: a node that was declared dead
 * has no routes any more, and what it still sends is refused.
 */

import { MalformedFrame } from "../storage/frame/MalformedFrame.ts"
import type { BusHandler, Refused } from "./Bus.ts"
import { type BusFrame, decodeBusFrame, type ForwardedMessage } from "./BusFrame.ts"
import type { Membership } from "./Membership.ts"

/**
 * Gives a message to its tenant's router. False when that cannot take it; else `settled`, where there is one,
 * is called once with whether it is safe.
 */
export type Take = (forwarded: ForwardedMessage, settled: ((isTaken: boolean) => void) | undefined) => boolean

export interface ReceiverOptions {
  readonly members: Membership["Type"]["members"]
  readonly take: Take
  /** Somebody sends what no node of ours would. */
  readonly report: (reason: string) => void
}

export const receive = (options: ReceiverOptions): BusHandler => ({
  fast: (bytes) => {
    const frame = open(bytes, options)
    if (frame === undefined) return
    for (const record of frame.records) options.take(record, undefined)
  },
  sure: (bytes, taken) => {
    const frame = open(bytes, options)
    // Nothing of a frame that cannot be read is taken; how many records it has, nobody knows.
    if (frame === undefined) return taken({ _tag: "Refused", records: "all" })
    const receipt = new Receipt(frame.records.length, taken)
    for (const [place, record] of frame.records.entries()) {
      const settle = (isTaken: boolean) => receipt.settle(place, isTaken)
      if (!options.take(record, settle)) settle(false)
    }
  }
})

/** The frame; undefined when it is not to be taken. */
const open = (bytes: Uint8Array, { members, report }: ReceiverOptions): BusFrame | undefined => {
  const frame = readable(bytes)
  if (typeof frame === "string") {
    report(`a frame of the bus cannot be read: ${frame}`)
    return undefined
  }
  const { incarnation, origin } = frame
  for (const member of members().values()) {
    if (member.index === origin && member.incarnation === incarnation) return frame
  }
  report(`a frame came from node ${origin}, which is not a member in that incarnation`)
  return undefined
}

/** The frame, or what is wrong with it. */
const readable = (bytes: Uint8Array): BusFrame | string => {
  try {
    return decodeBusFrame(bytes)
  } catch (error) {
    if (error instanceof MalformedFrame) return error.reason
    throw error
  }
}

/** Says what became of a frame when it is known of each of its records. */
class Receipt {
  private readonly refused: Array<number> = []

  constructor(
    private missing: number,
    private readonly taken: (outcome: Refused | undefined) => void
  ) {
    if (missing === 0) taken(undefined)
  }

  settle(place: number, isTaken: boolean): void {
    if (!isTaken) this.refused.push(place)
    this.missing--
    if (this.missing > 0) return
    this.taken(this.refused.length === 0 ? undefined : { _tag: "Refused", records: this.refused })
  }
}
