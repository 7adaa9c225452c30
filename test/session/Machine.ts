/**
 * The state machine of a session with every effect recorded: a test plays client, router and clock with plain
 * calls.
 *
 * `Machine` does what the actor does around the machine and nothing else, so what it records is what would
 * happen.
 */

import type { Identity } from "../../src/auth/Authenticator.ts"
import { allowAll, type Decision, type Permissions } from "../../src/auth/Authorizer.ts"
import type { DropReason } from "../../src/events/Event.ts"
import type {
  AckTag,
  Connect,
  Properties,
  ProtocolVersion,
  Publish,
  Qos,
  ServerControlPacket,
  Subscribe,
  Will
} from "../../src/protocol/Packet.ts"
import type { PublishHeader } from "../../src/protocol/PublishWriter.ts"
import { ReasonCode } from "../../src/protocol/ReasonCode.ts"
import type { Store } from "../../src/router/Gathering.ts"
import { Publication } from "../../src/router/Publication.ts"
import type { SharedGroup } from "../../src/router/SharedGroup.ts"
import type { DeliveryOptions } from "../../src/router/Subscriber.ts"
import { attach } from "../../src/session/attach.ts"
import type { Backlog } from "../../src/session/Backlog.ts"
import { connectionLost, endSession, onDeadline, onDisconnect } from "../../src/session/expiry.ts"
import { onPublish, onPublished, onPubrel } from "../../src/session/inbound.ts"
import type { Ending, Link } from "../../src/session/Link.ts"
import { OutboundEntry } from "../../src/session/OutboundEntry.ts"
import { deliver, onAck, pump } from "../../src/session/outbound.ts"
import type { AuthRequest } from "../../src/session/reauthentication.ts"
import { letGo, onBacklogPage } from "../../src/session/refill.ts"
import {
  type HeldSubscription,
  type JudgedFilter,
  type PendingSuback,
  type PendingUnsuback,
  type Refusal,
  type Replay,
  type SessionOutputs,
  SessionState
} from "../../src/session/SessionState.ts"
import { onSubscribe, onSubscribed, onUnsubscribed } from "../../src/session/subscriptions.ts"
import { type EnqueueRecord, Recorded, type SessionRecord } from "../../src/storage/DurableRecord.ts"
import { DurableState } from "../../src/storage/DurableState.ts"
import type { CommitOutcome } from "../../src/storage/Journal.ts"
import { queuePage } from "../../src/storage/memory.ts"
import { Counters } from "../../src/telemetry/Counters.ts"
import { defaultTenantSettings, type TenantSettings } from "../../src/tenant/TenantSettings.ts"
import type { PlainFilter, SharedFilter } from "../../src/topic/TopicFilter.ts"

/** A PUBLISH that left for the client. */
export interface Sent extends PublishHeader {
  readonly _tag: "Sent"
  readonly publication: Publication
}

export type Output =
  | Sent
  | { readonly _tag: AckTag; readonly packetId: number; readonly reasonCode: number }
  | { readonly _tag: "Control"; readonly packet: ServerControlPacket }
  | { readonly _tag: "Close"; readonly reasonCode: number; readonly link: RecordingLink }
  | { readonly _tag: "Routed"; readonly publication: Publication }
  | {
      readonly _tag: "Subscribed"
      readonly subscriptions: ReadonlyArray<HeldSubscription>
      readonly pending: PendingSuback
    }
  | { readonly _tag: "Unsubscribed"; readonly filters: ReadonlyArray<PlainFilter | SharedFilter> }
  | { readonly _tag: "Asked"; readonly replay: Replay; readonly limit: number }
  | { readonly _tag: "Away"; readonly groups: ReadonlyArray<SharedGroup> }
  | { readonly _tag: "Redispatched"; readonly publications: ReadonlyArray<Publication> }
  | { readonly _tag: "Will"; readonly will: Will }
  | { readonly _tag: "Decide"; readonly decisions: ReadonlyArray<Decision> }
  | { readonly _tag: "Authenticate"; readonly request: AuthRequest }
  | { readonly _tag: "RenewPermissions" }
  | {
      readonly _tag: "Judge"
      readonly permissions: Permissions
      readonly asked: ReadonlyArray<JudgedFilter>
    }
  | { readonly _tag: "Dropped"; readonly topic: string; readonly reason: DropReason }
  | { readonly _tag: "Refused"; readonly refusal: Refusal }
  | { readonly _tag: "Reached"; readonly setting: keyof TenantSettings; readonly outcome: string }
  | { readonly _tag: "Stalled"; readonly forMs: number }

export class RecordingLink implements Link {
  backlogBytes = 0
  isClosed = false

  constructor(
    readonly protocolVersion: ProtocolVersion,
    private readonly log: Array<Output>,
    /** Packets with a larger payload do not fit the client's Maximum Packet Size. */
    private readonly payloadBytesMax: number
  ) {}

  readonly sendPublish = (publication: Publication, header: PublishHeader): boolean => {
    if (publication.payloadBytes > this.payloadBytesMax) return false
    if (!this.isClosed) this.log.push({ _tag: "Sent", publication, ...header })
    return true
  }
  readonly sendAck = (tag: AckTag, packetId: number, reasonCode: number): void => {
    if (!this.isClosed) this.log.push({ _tag: tag, packetId, reasonCode })
  }
  readonly send = (packet: ServerControlPacket): void => {
    if (!this.isClosed) this.log.push({ _tag: "Control", packet })
  }
  readonly close = (ending: Ending): void => {
    if (this.isClosed) return
    this.isClosed = true
    this.log.push({ _tag: "Close", reasonCode: ending.reasonCode, link: this })
  }
}

export interface ConnectOptions {
  readonly version?: ProtocolVersion
  readonly clean?: boolean
  readonly keepAlive?: number
  readonly will?: Partial<Will>
  readonly properties?: Properties
  readonly permissions?: Permissions
}

export const START_MS = 1_800_000_000_000

const peer = {
  transport: "memory",
  listener: "memory",
  address: "",
  port: 0,
  isLoopback: true,
  serverName: undefined,
  certificate: undefined
} as const

export const identity: Identity = {
  tenant: "default",
  principal: "anonymous",
  clientId: "client",
  username: undefined,
  peer
}

export class Machine implements SessionOutputs {
  readonly log: Array<Output> = []
  /** What it put on record. */
  readonly records: Array<SessionRecord> = []
  /** What they make. */
  readonly durable = new DurableState()
  readonly counters = new Counters()
  readonly state: SessionState
  nowMs = START_MS
  /** The journal takes its time: what waits for it happens with `commit`. */
  isSlowToCommit = false
  private readonly actions: Array<() => void> = []
  private readonly copies: Array<OutboundEntry> = []
  private readonly reads: Array<{ readonly backlog: Backlog; readonly from: number }> = []
  readonly tracing = undefined
  isStorageFailing = false
  /** Of the connections to come. */
  payloadBytesMax = Number.POSITIVE_INFINITY
  /** What the router answers to a publication. */
  routerHasSpace = true

  constructor(settings: Partial<TenantSettings> = {}, permissions: Permissions = allowAll) {
    const all = { ...defaultTenantSettings, ...settings }
    this.state = new SessionState("client", all, this.counters, identity, permissions)
  }

  get clientId(): string {
    return this.state.clientId
  }

  get isConnected(): boolean {
    return this.state.link !== undefined
  }

  get isKeeping(): boolean {
    return this.state.keepsState
  }

  get inflight(): number {
    return (this.state.queue?.size ?? 0) + (this.state.backlog?.size ?? 0)
  }

  // What the world does to it

  connect(options: ConnectOptions = {}): RecordingLink {
    const { version = 5 } = options
    const link = new RecordingLink(version, this.log, this.payloadBytesMax)
    attach(
      this.state,
      {
        link,
        connect: connectPacket(options),
        accepted: { _tag: "Accepted", tenant: "default", principal: "anonymous" },
        identity,
        permissions: options.permissions ?? this.state.permissions,
        isAssignedId: false,
        packetBytesMax: 1_000_000
      },
      this.nowMs,
      this
    )
    this.settle()
    return link
  }

  lose(): void {
    connectionLost(this.state, { withWill: true, isTakenOver: false }, this.nowMs, this)
    this.settle()
  }

  disconnect(reasonCode = 0, properties: Properties = {}): void {
    onDisconnect(this.state, { _tag: "Disconnect", reasonCode, properties }, this.nowMs, this)
    this.settle()
  }

  /** Moves time; answers whether the session has ended. */
  wait(ms: number): boolean {
    this.nowMs += ms
    const hasEnded = onDeadline(this.state, this.nowMs, this)
    this.settle()
    return hasEnded
  }

  end(): void {
    endSession(this.state, this)
    this.settle()
  }

  publish(packet: Partial<Publish> = {}): void {
    onPublish(this.state, publishPacket(packet), this.nowMs, this)
    this.settle()
  }

  pubrel(packetId: number): void {
    onPubrel(this.state, { _tag: "Pubrel", packetId, reasonCode: 0 }, this)
    this.settle()
  }

  /** The router's word on a publication of ours. */
  outcome(publication: Publication, reasonCode: ReasonCode = ReasonCode.Success): void {
    const { epoch, packetId } = publication
    onPublished(this.state, { packetId, epoch, receivedAtMs: this.nowMs, reasonCode }, this.nowMs, this)
    this.settle()
  }

  give(
    message: Partial<Publish> & { readonly payload?: string },
    options: Partial<DeliveryOptions> = {}
  ): Publication {
    const publication = publicationOf(message, this.nowMs)
    deliver(this.state, { publication, options: deliveryOptions(options), isHeld: false }, this.nowMs, this)
    this.settle()
    return publication
  }

  ack(tag: "Puback" | "Pubrec" | "Pubcomp", packetId: number, reasonCode = 0): void {
    switch (tag) {
      case "Puback":
        onAck(this.state, { _tag: tag, packetId, reasonCode }, this.nowMs, this)
        break
      case "Pubrec":
        onAck(this.state, { _tag: tag, packetId, reasonCode }, this.nowMs, this)
        break
      case "Pubcomp":
        onAck(this.state, { _tag: tag, packetId, reasonCode }, this.nowMs, this)
        break
    }
    this.settle()
  }

  /** SUBSCRIBE as far as SUBACK; `hasRetained` is the router's hint. */
  subscribeTo(packet: Partial<Subscribe>, hasRetained = false): void {
    onSubscribe(this.state, subscribePacket(packet), this)
    for (const output of this.take("Subscribed")) {
      onSubscribed(this.state, output.pending, { hasRetained, refused: [] }, this)
    }
    this.settle()
  }

  commit(): void {
    for (const action of this.actions.splice(0)) action()
    this.store()
  }

  /** What the actor does at the end of a turn, and what comes of it. */
  private settle(): void {
    if (!this.isSlowToCommit) this.store()
  }

  /**
   * Puts messages of the queue on record, and answers the session's questions for them, as a journal would.
   */
  private store(): void {
    const entries = this.copies.splice(0)
    for (const entry of entries) {
      if (entry.recorded === Recorded.Elided) continue
      entry.recorded = Recorded.Written
      this.record(entry)
      this.stored(entry, undefined)
    }
    letGo(this.state)
    if (this.isConnected) pump(this.state, this.nowMs, this)
    for (let read = this.reads.shift(); read !== undefined; read = this.reads.shift()) {
      const { clientId, identity } = this.state
      const request = {
        tenant: identity.tenant,
        clientId,
        from: read.from,
        messagesMax: 16,
        bytesMax: 65_536
      }
      const page = { ...read, _tag: "BacklogPage", deliveries: queuePage(this.durable, request) } as const
      onBacklogPage(this.state, page, this.nowMs, this)
    }
  }

  /** The router has taken up what it was asked to, and answers. */
  subscribed(): void {
    for (const output of this.take("Subscribed")) {
      onSubscribed(this.state, output.pending, { hasRetained: false, refused: [] }, this)
    }
  }

  // What it did

  /** Everything recorded since the last call, which is forgotten. */
  all(): ReadonlyArray<Output> {
    return this.log.splice(0)
  }

  /** The records of one kind; those of the others stay. */
  take<Tag extends Output["_tag"]>(tag: Tag): ReadonlyArray<Extract<Output, { _tag: Tag }>> {
    const taken = this.log.filter((each): each is Extract<Output, { _tag: Tag }> => each._tag === tag)
    const others = this.log.filter((each) => each._tag !== tag)
    this.log.splice(0, this.log.length, ...others)
    return taken
  }

  /** The payloads that were sent, in order; everything recorded is forgotten. */
  payloads(): ReadonlyArray<string> {
    return this.all().flatMap((each) => (each._tag === "Sent" ? [payloadOf(each.publication)] : []))
  }

  // What the machine asks for

  sendPublish(publication: Publication, header: PublishHeader): boolean {
    return this.client().sendPublish(publication, header)
  }
  sendAck(tag: AckTag, packetId: number, reasonCode: number, reason: string): void {
    this.client().sendAck(tag, packetId, reasonCode, reason)
  }
  send(packet: ServerControlPacket): void {
    this.client().send(packet)
  }
  close(ending: Ending): void {
    this.client().close(ending)
  }
  greetAfterCommit(link: Link, connack: ServerControlPacket): void {
    link.send(connack)
    this.state.parked = undefined
  }
  route(publication: Publication): boolean {
    if (this.routerHasSpace) this.log.push({ _tag: "Routed", publication })
    return this.routerHasSpace
  }
  subscribe(subscriptions: ReadonlyArray<HeldSubscription>, pending: PendingSuback): void {
    this.log.push({ _tag: "Subscribed", subscriptions, pending })
  }
  unsubscribe(
    filters: ReadonlyArray<PlainFilter | SharedFilter>,
    pending: PendingUnsuback | undefined
  ): void {
    if (filters.length > 0) this.log.push({ _tag: "Unsubscribed", filters })
    // The router answers at once.
    if (pending !== undefined) this.afterAllCommits(() => onUnsubscribed(pending, this))
  }
  askRetained(replay: Replay, limit: number): void {
    this.log.push({ _tag: "Asked", replay, limit })
  }
  memberAway(groups: ReadonlyArray<SharedGroup>): void {
    this.log.push({ _tag: "Away", groups })
  }
  redispatch(_group: SharedGroup, publications: ReadonlyArray<Publication>): void {
    this.log.push({ _tag: "Redispatched", publications })
  }
  publishWill(will: Will, record: SessionRecord | undefined): void {
    if (record !== undefined) this.record(record)
    this.log.push({ _tag: "Will", will })
  }
  decide(decisions: ReadonlyArray<Decision>): void {
    this.log.push({ _tag: "Decide", decisions })
  }
  /** Only for policies that answer at once. */
  askPolicy(): void {}
  askAboutDelivery(): void {}
  authenticate(request: AuthRequest): void {
    this.log.push({ _tag: "Authenticate", request })
  }
  renewPermissions(): void {
    this.log.push({ _tag: "RenewPermissions" })
  }
  judge(permissions: Permissions, asked: ReadonlyArray<JudgedFilter>): void {
    this.log.push({ _tag: "Judge", permissions, asked })
  }
  record(record: SessionRecord): void {
    this.records.push(record)
    this.durable.apply(record)
  }
  keep(entry: OutboundEntry): void {
    this.copies.push(entry)
  }
  stored(entry: EnqueueRecord, outcome: CommitOutcome): void {
    if (!(entry instanceof OutboundEntry)) return
    entry.isStored = outcome === undefined
    entry.release(entry.isStored)
  }
  advance(before: number): void {
    const { clientId, epoch, identity } = this.state
    this.record({ _tag: "Advance", tenant: identity.tenant, clientId, epoch, before })
  }
  gather(publication: Publication, record: SessionRecord, isRefusable: boolean): void {
    const store: Store = (records, committed) => {
      for (const each of records) if (each._tag !== "Retain") this.record(each)
      committed(undefined)
    }
    publication.gather(record, store, isRefusable)
  }
  readBacklog(backlog: Backlog, from: number): void {
    this.reads.push({ backlog, from })
  }
  groupOf(): undefined {
    return undefined
  }
  afterCommit(action: () => void): void {
    if (this.isSlowToCommit) this.actions.push(action)
    else action()
  }
  afterAllCommits(action: () => void): void {
    this.afterCommit(action)
  }
  settleAfterCommit(publication: Publication): void {
    publication.settle(true)
  }
  dropped(topic: string, reason: DropReason): void {
    this.log.push({ _tag: "Dropped", topic, reason })
  }
  tell(): void {}
  refused(refusal: Refusal): void {
    this.log.push({ _tag: "Refused", refusal })
  }

  // What the router would call; the machine never does

  deliver(): boolean {
    throw new Error("the machine does not deliver to itself")
  }
  retainedPage(): void {}
  reclaim(): void {}
  published(): void {}
  unsubscribed(): void {}
  overLimit(): void {}
  reached(setting: keyof TenantSettings, outcome: string): void {
    this.log.push({ _tag: "Reached", setting, outcome })
  }
  stalled(forMs: number): void {
    this.log.push({ _tag: "Stalled", forMs })
  }
  routerHasRoom(): void {}
  mayPass(): void {}

  private client(): Link {
    const { link } = this.state
    if (link === undefined) throw new Error("output without a link")
    return link
  }
}

const connectPacket = (options: ConnectOptions): Connect => ({
  _tag: "Connect",
  protocolVersion: options.version ?? 5,
  cleanStart: options.clean ?? false,
  keepAlive: options.keepAlive ?? 0,
  clientId: "client",
  username: undefined,
  password: undefined,
  will: options.will && willOf(options.will),
  properties: options.properties ?? {}
})

export const willOf = (will: Partial<Will>): Will => ({
  topic: "will",
  payload: Buffer.from("gone"),
  qos: 0,
  retain: false,
  delayInterval: 0,
  messageExpiryInterval: -1,
  forwardedProperties: Buffer.alloc(0),
  ...will
})

const content = (payload: string) => {
  const source = Buffer.from(payload)
  return { source, payloadStart: 0, payloadEnd: source.length }
}

export const topicOf = (name: string) => ({ name, bytes: Buffer.from(name) })

export const publishPacket = (packet: Partial<Publish> = {}): Publish => ({
  _tag: "Publish",
  topic: topicOf("topic"),
  ...content("payload"),
  forwardedProperties: Buffer.alloc(0),
  qos: 0,
  retain: false,
  dup: false,
  packetId: packet.qos ? 1 : 0,
  topicAlias: 0,
  messageExpiryInterval: -1,
  ...packet
})

export const subscribePacket = (packet: Partial<Subscribe>): Subscribe => ({
  _tag: "Subscribe",
  packetId: 1,
  subscriptions: [{ topicFilter: "#", qos: 0, noLocal: false, retainAsPublished: false, retainHandling: 0 }],
  subscriptionIdentifier: 0,
  userProperties: [],
  ...packet
})

/** A message of nobody's. */
export const publicationOf = (
  message: Partial<Publish> & { readonly payload?: string } = {},
  receivedAtMs: number = START_MS
): Publication => {
  const { payload = "payload", ...packet } = message
  const whole = publishPacket({ ...content(payload), ...packet })
  return Publication.fromPacket(whole, whole.topic, {
    publisher: undefined,
    packetId: 0,
    epoch: 0,
    receivedAtMs
  })
}

export const deliveryOptions = (options: Partial<DeliveryOptions> = {}): DeliveryOptions => ({
  qos: 2 as Qos,
  retainAsPublished: false,
  subscriptionIdentifiers: [],
  group: undefined,
  isRetained: false,
  ...options
})

export const payloadOf = (publication: Publication): string => Buffer.from(publication.payload).toString()
