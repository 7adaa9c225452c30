/** Who takes part in a crash test, and what they do while the broker runs. */

import type { CrashClient } from "./CrashClient.ts"
import type { Log, Qos, SentMessage, SubscriberLog, WillLog } from "./Log.ts"

export type Random = (below: number) => number

/** A part in the play: it is told when the broker is there, when it is gone, and now and then to act. */
export interface Actor {
  readonly client: CrashClient
  /** The broker listens. */
  readonly begin: (port: number) => void
  /** Some milliseconds have passed. */
  readonly act: (port: number) => void
  /** The broker is dead. */
  readonly end: () => void
  /** Nothing new from now on: come, and take what waits. */
  readonly drain: (port: number) => void
}

abstract class Member implements Actor {
  constructor(
    readonly client: CrashClient,
    protected readonly log: Log,
    protected readonly random: Random
  ) {}

  begin(port: number): void {
    this.client.connect(port)
  }

  abstract act(port: number): void

  end(): void {
    this.client.drop()
  }

  drain(port: number): void {
    this.client.ackDelayMs = 0
    if (this.client.isAway) this.client.connect(port)
  }
}

/** Topics that a publisher publishes to, each with one QoS. */
export interface Lane {
  readonly topic: string
  readonly qos: Qos
}

/** Publishes to its lanes, as many at a time as its window allows. */
export class Publisher extends Member {
  private readonly sequences = new Map<Lane, number>()

  constructor(
    client: CrashClient,
    log: Log,
    random: Random,
    private readonly lanes: ReadonlyArray<Lane>,
    private readonly isRetaining: boolean
  ) {
    super(client, log, random)
  }

  act(port: number): void {
    const { client, random } = this
    if (client.isAway && random(10) === 0) client.connect(port)
    if (!client.isConnected) return
    if (random(200) === 0) return client.drop()
    const count = random(50) === 0 ? 40 : random(3)
    for (let n = 0; n < count && client.unfinished < 60; n++) this.publish()
  }

  private publish(): void {
    const lane = this.lanes[this.random(this.lanes.length)]
    if (lane === undefined) return
    const { qos, topic } = lane
    const { clientId } = this.client.options
    const sequence = (this.sequences.get(lane) ?? 0) + 1
    this.sequences.set(lane, sequence)
    const id = `${clientId}/${topic.slice(topic.lastIndexOf("/") + 1)}/${sequence}`
    const sentAtMs = this.log.nowMs()
    const message: SentMessage = {
      ...{ id, publisher: clientId, topic, qos, sequence, sentAtMs, acknowledgedAtMs: undefined }
    }
    this.log.messages.set(id, message)
    this.client.publish(message, this.isRetaining)
  }
}

/** What a subscriber does beside receiving. Each is a chance in a thousand that it does so now. */
export interface Habits {
  readonly drops?: number
  readonly returns?: number
  readonly takesOver?: number
  readonly ackDelayMs?: number
}

export class Subscriber extends Member {
  private readonly habits: Habits

  constructor(
    client: CrashClient,
    log: Log,
    random: Random,
    { ackDelayMs = 0, drops = 0, returns = 100, takesOver = 0 }: Habits
  ) {
    super(client, log, random)
    this.habits = { drops, returns, takesOver }
    client.ackDelayMs = ackDelayMs
  }

  override begin(port: number): void {
    // The first time everybody comes; later those who are often away may stay away.
    const isNew = this.client.options.subscription?.subscribedAtMs === undefined
    if (isNew || this.random(1000) < (this.habits.returns ?? 0) * 5) this.client.connect(port)
  }

  act(port: number): void {
    const { client, habits, random } = this
    const { drops = 0, returns = 0, takesOver = 0 } = habits
    const chance = random(1000)
    if (client.isAway) {
      if (chance < returns) client.connect(port)
    } else if (chance < drops) client.drop()
    else if (chance < drops + takesOver) client.connect(port)
  }
}

export interface WillHabits {
  readonly qos: Qos
  /** Seconds. */
  readonly delay: number
}

/** How long ago a CONNECT or DISCONNECT was that the broker knows of for sure. */
const KNOWN_AFTER_MS = 500

/** Connects with a will, and leaves in one way or another. */
export class WillOwner extends Member {
  private count = 0
  private current: WillLog | undefined
  private left: { readonly will: WillLog; readonly atMs: number } | undefined
  /** Rounds until it may come again: before that its will might be due still. */
  private rest = 0
  private isDraining = false

  constructor(
    client: CrashClient,
    log: Log,
    random: Random,
    private readonly habits: WillHabits
  ) {
    super(client, log, random)
  }

  override begin(): void {
    this.rest--
  }

  act(port: number): void {
    const { client, log, random } = this
    const { left } = this
    if (left !== undefined && log.nowMs() - left.atMs > KNOWN_AFTER_MS) {
      left.will.fate = "silent"
      this.left = undefined
    }
    if (this.current === undefined) {
      if (this.rest < 0 && !this.isDraining && random(50) === 0) this.come(port)
      return
    }
    if (!client.isConnected) return
    // One that ends with its connection has no answer that would tell.
    if (!client.options.isPersistent && log.nowMs() - this.current.sinceMs > KNOWN_AFTER_MS)
      this.current.isArmed = true
    const chance = random(1000)
    if (chance < 4) this.die(() => client.drop())
    else if (chance < 8) {
      this.left = { will: this.current, atMs: log.nowMs() }
      this.current = undefined
      this.rest = 1
      client.disconnect()
    }
  }

  override end(): void {
    this.left = undefined
    if (this.current !== undefined) this.die(() => this.client.drop())
    else super.end()
  }

  override drain(): void {
    this.isDraining = true
    this.left = undefined
    if (this.current !== undefined) this.die(() => this.client.drop())
  }

  private come(port: number): void {
    const { client, habits, log } = this
    const { clientId } = client.options
    this.count++
    const id = `${clientId}/will/${this.count}`
    const topic = `wills/${clientId}`
    this.current = {
      ...{ id, topic, qos: habits.qos, sinceMs: log.nowMs(), isArmed: false, fate: undefined }
    }
    log.wills.push(this.current)
    log.tell(clientId, `has the will ${id}`)
    client.connect(port, this.current, habits.delay)
  }

  private die(how: () => void): void {
    if (this.current !== undefined) this.current.fate = "fires"
    this.current = undefined
    this.rest = this.habits.delay > 0 ? 6 : 1
    how()
  }
}

/** A subscription's log, entered into the test's. */
export const subscription = (
  log: Log,
  of: Omit<SubscriberLog, "subscribedAtMs" | "receipts">
): SubscriberLog => {
  const subscriber: SubscriberLog = { ...of, subscribedAtMs: undefined, receipts: [] }
  log.subscribers.push(subscriber)
  return subscriber
}
