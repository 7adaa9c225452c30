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

  hasLiveMemberBeside(subscriber: Subscriber): boolean {
    return this.members.some((member) => member.subscriber !== subscriber && member.subscriber.isConnected)
  }

  /** Hands the publication to one member. False when the group has none that would take it. */
  deliver(publication: Publication): boolean {
    const first = this.choose(publication)
    if (first === undefined) return false
    if (first.subscriber.deliver(publication, first.options)) return true
    // The chosen one's mailbox is full: any other live one will do.
    for (const member of this.members) {
      if (member === first || !member.subscriber.isConnected) continue
      if (member.subscriber.deliver(publication, member.options)) return true
    }
    return false
  }

  private choose(publication: Publication): Member | undefined {
    const live = this.members.filter(isLive)
    const candidates = live.length > 0 ? live : this.members
    const count = candidates.length
    if (count <= 1) return candidates[0]
    if (this.options.isOrdered) return candidates[hash(publication.publisherId) % count]
    switch (this.options.strategy) {
      case "round-robin":
        return candidates[this.cursor++ % count]
      case "random":
        return candidates[Math.floor(this.options.random() * count)]
      case "sticky":
        return this.chooseSticky(candidates)
      case "least-inflight":
        return candidates.reduce((least, member) =>
          member.subscriber.inflight < least.subscriber.inflight ? member : least
        )
      case "hash-topic":
        return candidates[hash(publication.topic.name) % count]
      case "hash-client":
        return candidates[hash(publication.publisherId) % count]
    }
  }

  private chooseSticky(candidates: ReadonlyArray<Member>): Member | undefined {
    const current = candidates.find((member) => member.subscriber === this.sticky)
    const chosen = current ?? candidates[Math.floor(this.options.random() * candidates.length)]
    this.sticky = chosen?.subscriber
    return chosen
  }

  private indexOf(subscriber: Subscriber): number {
    return this.members.findIndex((member) => member.subscriber === subscriber)
  }
}

const isLive = (member: Member): boolean => member.subscriber.isConnected

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
