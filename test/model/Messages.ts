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
  /** When it was given first and last, in the order of all messages. */
  firstAt: number
  lastAt: number
  /** How often the application has got it, and how often of that at QoS 2. */
  seen: number
  seenAtQos2: number
  /** How often it was given, because its publisher sent it again, and how often it was acknowledged. */
  given: number
  done: number
}

export const newCopy = (): Copy => ({
  ...{ isOwed: false, qos: new Set<Qos>(), wasSure: false, firstAt: 0, lastAt: 0 },
  ...{ seen: 0, seenAtQos2: 0, given: 0, done: 0 }
})

/** It is given to its receiver. */
export const give = (copy: Copy, at: number): void => {
  if (copy.given === 0) copy.firstAt = at
  copy.lastAt = at
  copy.given++
}

/** Copies by message number; the order in which they were first seen, by publisher, topic and QoS. */
export class Copies {
  readonly byMessage = new Map<number, Copy>()
  private readonly lastSeen = new Map<string, number>()

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
    this.lastSeen.clear()
    for (const copy of this.byMessage.values())
      Object.assign(copy, { isOwed: false, wasSure: false, seen: 0, seenAtQos2: 0, done: 0 })
  }

  /** False when a message of the same publisher, topic and QoS that is surely later was seen before. */
  seeInOrder(copy: Copy, { publisher, topic }: Message, qos: Qos): boolean {
    const key = `${publisher} ${topic} ${qos}`
    const last = this.lastSeen.get(key) ?? 0
    this.lastSeen.set(key, Math.max(last, copy.firstAt))
    return copy.lastAt >= last
  }
}

export const isShared = (filter: Filter): boolean => filter.startsWith("$share/")

export const matches = (filter: Filter, topic: string): boolean => {
  const plain = filter.startsWith("$share/") ? filter.split("/").slice(2).join("/") : filter
  const prefix = plain.slice(0, -1)
  return /[+#]$/.test(plain) ? topic.startsWith(prefix) : plain === topic
}
