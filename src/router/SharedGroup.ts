/**
 * The members of one shared subscription, and the choice of the one that gets a message.
 *
 * Members with a live connection come first; only when there is none does the message go to an absent one,
 * whose session keeps it. (5.0, section 4.8.2: the choice is the server's)
 */

import type { SharedSubscriptionStrategy } from "../tenant/TenantSettings.ts"
import type { Publication } from "./Publication.ts"
import type { DeliveryOptions, Subscriber, Subscription } from "./Subscriber.ts"

interface Member {
  readonly subscriber: Subscriber
  readonly options: DeliveryOptions
}

export interface SharedGroupOptions {
  readonly name: string
  readonly topicFilter: string
  /**
   * `$oshare`: what one publisher sends goes to one member, in order, as long as the live members stay the
   * same.
   */
  readonly isOrdered: boolean
  readonly strategy: SharedSubscriptionStrategy
  /** A pseudo-random number in [0, 1). */
  readonly random: () => number
}

export class SharedGroup {
  readonly _tag = "SharedGroup"
  readonly key: string
  private readonly members: Array<Member> = []
  private cursor = 0
  private sticky: Subscriber | undefined

  constructor(readonly options: SharedGroupOptions) {
    this.key = groupKey(options.name, options.topicFilter, options.isOrdered)
  }

  get size(): number {
    return this.members.length
  }

  has(subscriber: Subscriber): boolean {
    return this.indexOf(subscriber) >= 0
  }

  /** Adds a member or replaces its subscription. */
  set(subscription: Subscription): void {
    const { subscriber } = subscription
    const identifier = subscription.subscriptionIdentifier
    const member: Member = {
      subscriber,
      options: {
        qos: subscription.qos,
        retainAsPublished: subscription.retainAsPublished,
        subscriptionIdentifiers: identifier === 0 ? [] : [identifier],
        group: this,
        isRetained: false
      }
    }
    const index = this.indexOf(subscriber)
    if (index < 0) this.members.push(member)
    else this.members[index] = member
  }

  delete(subscriber: Subscriber): boolean {
    const index = this.indexOf(subscriber)
    if (index < 0) return false
    this.members.splice(index, 1)
    if (this.sticky === subscriber) this.sticky = undefined
    return true
  }

  /** Whether what one of its members gets must be safe. */
  get isKeeping(): boolean {
    return this.members.some(({ subscriber }) => subscriber.isKeeping)
  }

  hasLiveMemberBeside(subscriber: Subscriber): boolean {
    return this.members.some((member) => member.subscriber !== subscriber && member.subscriber.isConnected)
  }

  /** Hands the publication to one member. False when the group has none that would take it. */
  deliver(publication: Publication): boolean {
    const first = this.choose(publication)
    if (first === undefined) return false
    if (first.subscriber.deliver(publication, first.options)) return true
    // The chosen one's mailbox is full; another live one's will do.
    for (const member of this.members) {
      if (member === first || !member.subscriber.isConnected) continue
      if (member.subscriber.deliver(publication, member.options)) return true
    }
    return false
  }

  /**
   * Nothing is allocated for a message, and whose turn it is costs a look at one member as long as the
   * members are there: 12 ns with 5 members and with 50, where a list of those who are live took 30 and 300
   * (Bun 1.4.5, 2026-11).
   */
  private choose(publication: Publication): Member | undefined {
    const { members, options } = this
    if (members.length <= 1) return members[0]
    if (options.isOrdered) return this.candidateOf(hash(publication.publisherId))
    switch (options.strategy) {
      case "round-robin":
        return this.chooseNext()
      case "random":
        return this.chooseRandom()
      case "sticky":
        return this.chooseSticky()
      case "least-inflight":
        return this.chooseLeastInflight()
      case "hash-topic":
        return this.candidateOf(hash(publication.topic.name))
      case "hash-client":
        return this.candidateOf(hash(publication.publisherId))
    }
  }

  /** How many members are live; all of them count when none is. */
  private get candidates(): number {
    const { members } = this
    let live = 0
    for (const member of members) if (isLive(member)) live++
    return live === 0 ? members.length : live
  }

  /** The candidate that a number falls to. */
  private candidateOf(number: number): Member | undefined {
    const { candidates, members } = this
    const wanted = number % candidates
    if (candidates === members.length) return members[wanted]
    let before = 0
    for (const member of members) if (isLive(member) && before++ === wanted) return member
    return undefined
  }

  /** The first live member from the cursor on. */
  private chooseNext(): Member | undefined {
    const { members } = this
    const { length } = members
    const from = this.cursor < length ? this.cursor : 0
    let index = from
    for (let looks = 0; looks < length && members[index]?.subscriber.isConnected !== true; looks++) {
      index = index + 1 < length ? index + 1 : 0
    }
    this.cursor = index + 1
    return members[index]
  }

  private chooseRandom(): Member | undefined {
    return this.candidateOf(Math.floor(this.options.random() * this.candidates))
  }

  private chooseSticky(): Member | undefined {
    const { members, sticky } = this
    const current = sticky === undefined ? undefined : members[this.indexOf(sticky)]
    const isCurrent = current !== undefined && (isLive(current) || !members.some(isLive))
    const chosen = isCurrent ? current : this.chooseRandom()
    this.sticky = chosen?.subscriber
    return chosen
  }

  private chooseLeastInflight(): Member | undefined {
    let least: Member | undefined
    for (const member of this.members) {
      if (least === undefined || isBetter(member, least)) least = member
    }
    return least
  }

  private indexOf(subscriber: Subscriber): number {
    return this.members.findIndex((member) => member.subscriber === subscriber)
  }
}

const isLive = (member: Member): boolean => member.subscriber.isConnected

/** Live before absent, then with less on its way. */
const isBetter = ({ subscriber }: Member, than: Member): boolean =>
  subscriber.isConnected === than.subscriber.isConnected
    ? subscriber.inflight < than.subscriber.inflight
    : subscriber.isConnected

/**
 * What tells two shared subscriptions apart. Group names hold no `/`, so the parts cannot run together.
 * [MQTT-4.8.2-2]
 */
export const groupKey = (name: string, topicFilter: string, isOrdered: boolean): string =>
  `${isOrdered ? "$oshare" : "$share"}/${name}/${topicFilter}`

/** FNV-1a over UTF-16 units: spreads, and is the same on every node. */
const hash = (text: string): number => {
  let value = 0x811c9dc5
  for (let index = 0; index < text.length; index++) {
    value = Math.imul(value ^ text.charCodeAt(index), 0x01000193)
  }
  return value >>> 0
}
