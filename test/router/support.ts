/** Subscribers and publications for tests of the router: whoever gets something writes it down. */

import type { Forwarding } from "../../src/cluster/Forwarder.ts"
import type { Qos } from "../../src/protocol/Packet.ts"
import { ReasonCode } from "../../src/protocol/ReasonCode.ts"
import { Publication } from "../../src/router/Publication.ts"
import type { SharedGroup } from "../../src/router/SharedGroup.ts"
import type {
  DeliveryOptions,
  Publisher,
  RetainedPage,
  Subscriber,
  Subscription
} from "../../src/router/Subscriber.ts"
import type { SharedFilter } from "../../src/topic/TopicFilter.ts"

/** The way to other nodes where there are none. */
export const alone: Forwarding = {
  match: () => undefined,
  send: () => {},
  advertise: () => {},
  withdraw: () => {},
  withdrawAll: () => {},
  barrier: (passed) => passed()
}

export class Peer implements Subscriber, Publisher {
  isConnected = true
  inflight = 0
  isKeeping = false
  /** Its mailbox refuses deliveries. */
  isFull = false
  readonly deliveries: Array<readonly [payload: string, options: DeliveryOptions]> = []
  readonly outcomes: Array<readonly [packetId: number, reasonCode: ReasonCode]> = []
  readonly tokens: Array<readonly [token: number, hasRetained: boolean]> = []
  /** Shared subscriptions that were refused it. */
  readonly refused: Array<SharedFilter> = []
  readonly unsubscribes: Array<number> = []
  readonly excesses: Array<string> = []
  readonly pages: Array<RetainedPage> = []
  readonly reclaimed: Array<SharedGroup> = []
  rooms = 0

  constructor(readonly clientId: string = "peer") {}

  deliver(publication: Publication, options: DeliveryOptions): boolean {
    if (this.isFull) return false
    this.deliveries.push([Buffer.from(publication.payload).toString(), options])
    return true
  }
  subscribed(token: number, hasRetained: boolean, refused: ReadonlyArray<SharedFilter>): void {
    this.tokens.push([token, hasRetained])
    this.refused.push(...refused)
  }
  unsubscribed(token: number): void {
    this.unsubscribes.push(token)
  }
  retainedPage(page: RetainedPage): void {
    this.pages.push(page)
  }
  reclaim(group: SharedGroup): void {
    this.reclaimed.push(group)
  }
  published(publication: Publication, reasonCode: ReasonCode): void {
    this.outcomes.push([publication.packetId, reasonCode])
  }
  routerHasRoom(): void {
    this.rooms++
  }
  overLimit(publication: Publication, reason: string): void {
    this.excesses.push(reason)
    if (publication.packetId !== 0) this.published(publication, ReasonCode.QuotaExceeded)
  }

  /** The payloads that came since the last call. */
  take(): ReadonlyArray<string> {
    return this.deliveries.splice(0).map(([payload]) => payload)
  }
}

export const subscriptionOf = (
  subscriber: Subscriber,
  options: Partial<Subscription> = {}
): Subscription => ({
  subscriber,
  qos: 0,
  noLocal: false,
  retainAsPublished: false,
  subscriptionIdentifier: 0,
  ...options
})

export interface MessageOptions {
  readonly payload?: string
  readonly qos?: Qos
  readonly retain?: boolean
  readonly publisher?: Publisher
  readonly packetId?: number
  readonly messageExpiryInterval?: number
  readonly receivedAtMs?: number
}

export const messageTo = (name: string, options: MessageOptions = {}): Publication => {
  const {
    messageExpiryInterval = -1,
    packetId = 0,
    payload = "payload",
    publisher,
    receivedAtMs = 0
  } = options
  const source = Buffer.from(payload)
  return new Publication(
    {
      topic: { name, bytes: Buffer.from(name) },
      source,
      payloadStart: 0,
      payloadEnd: source.length,
      forwardedProperties: Buffer.alloc(0)
    },
    { qos: options.qos ?? 0, retain: options.retain ?? false, messageExpiryInterval },
    { publisher, packetId, epoch: 0, receivedAtMs }
  )
}
