/** The messages of a trace, and who is owed a copy of each. */

import type { Filter, Qos } from "./Step.ts"

/** A message: a client's PUBLISH or its will. Its number is its payload. */
export interface Message {
  readonly number: number
  readonly publisher: string
  readonly topic: string
  readonly qos: Qos
  /** PUBACK or PUBREC came, or everything about it is committed otherwise. */
  isSafe: boolean
}

/** What one session, or one shared group, is owed of a message. */
export interface Copy {
  /** It must arrive. Otherwise it may. */
  isOwed: boolean
  readonly qos: Set<Qos>
  /** It was surely given, though a crash may have taken it again. */
  wasSure: boolean
  /** When it was given first, in the order of all messages. */
  firstAt: number
  /** How often the application has got it, and how often of that at QoS 2. */
  seen: number
  seenAtQos2: number
  /** How often it was given, because its publisher sent it again, and how often it was acknowledged. */
  given: number
  done: number
}

export const newCopy = (): Copy => ({
  ...{ isOwed: false, qos: new Set<Qos>(), wasSure: false, firstAt: 0 },
  ...{ seen: 0, seenAtQos2: 0, given: 0, done: 0 }
})

/** It is given to its receiver. */
export const give = (copy: Copy, at: number): void => {
  if (copy.given === 0) copy.firstAt = at
  copy.given++
}

/** Copies by message number; which were seen, by publisher, topic and QoS. */
export class Copies {
  readonly byMessage = new Map<number, Copy>()
  private readonly seen = new Map<
    string,
    ReadonlyArray<{ readonly number: number; readonly firstAt: number }>
  >()

  get(number: number): Copy | undefined {
    return this.byMessage.get(number)
  }

  entry(number: number): Copy {
    let copy = this.byMessage.get(number)
    if (copy === undefined) {
      copy = newCopy()
      this.byMessage.set(number, copy)
    }
    return copy
  }

  /** Nothing counts as seen; nothing need come, and all may. */
  forget(): void {
    this.seen.clear()
    for (const copy of this.byMessage.values())
      Object.assign(copy, { isOwed: false, wasSure: false, seen: 0, seenAtQos2: 0, done: 0 })
  }

  /**
   * False when a message of the same publisher, topic and QoS was seen before that was sent later and given
   * later. (One that was sent before there was a subscription is given when it is sent again.)
   */
  seeInOrder({ firstAt }: Copy, { number, publisher, topic }: Message, qos: Qos): boolean {
    const key = `${publisher} ${topic} ${qos}`
    const seen = this.seen.get(key) ?? []
    const isInOrder = !seen.some((each) => each.number > number && each.firstAt > firstAt)
    this.seen.set(key, [...seen, { number, firstAt }])
    return isInOrder
  }
}

export const isShared = (filter: Filter): boolean => filter.startsWith("$share/")

export const matches = (filter: Filter, topic: string): boolean => {
  const plain = filter.startsWith("$share/") ? filter.split("/").slice(2).join("/") : filter
  const prefix = plain.slice(0, -1)
  return /[+#]$/.test(plain) ? topic.startsWith(prefix) : plain === topic
}
