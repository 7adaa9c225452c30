/**
 * A whole broker for a test: memory transport, a clock that the test moves, and clients that speak bytes.
 *
 * Nothing waits for time: a client waits for the packet that it expects, and `quiet` proves that nothing else
 * came by a PINGREQ, whose answer stands behind everything that was sent before it.
 */

import { expect } from "bun:test"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import type { Packet } from "mqtt-packet"
import { Authenticator } from "../../src/auth/Authenticator.ts"
import { Authorizer } from "../../src/auth/Authorizer.ts"
import { Broker, type BrokerOptions, type BrokerServices } from "../../src/Broker.ts"
import type { ClusterServices } from "../../src/cluster/singleNode.ts"
import type { Event } from "../../src/events/Event.ts"
import { EventSink } from "../../src/events/EventSink.ts"
import type { DurableState } from "../../src/storage/DurableState.ts"
import type { Journal } from "../../src/storage/Journal.ts"
import { layerMemory } from "../../src/storage/memory.ts"
import type { RetainedStore } from "../../src/storage/RetainedStore.ts"
import type { SessionStore } from "../../src/storage/SessionStore.ts"
import { ClientBalancer } from "../../src/tenant/ClientBalancer.ts"
import type { TenantPolicy } from "../../src/tenant/policy/TenantPolicy.ts"
import { TenantDirectory } from "../../src/tenant/TenantDirectory.ts"
import { defaultTenantSettings, type TenantSettings } from "../../src/tenant/TenantSettings.ts"
import { type MemoryClient, memoryListener } from "../../src/transport/Memory.ts"
import { Transports } from "../../src/transport/Transport.ts"
import { ManualClock } from "./manualClock.ts"
import { type RawConnect, raw, ServerReader, type Version } from "./raw.ts"

export interface TestBrokerOptions {
  readonly settings?: Partial<TenantSettings>
  readonly options?: Partial<BrokerOptions>
  readonly authenticator?: Layer.Layer<Authenticator>
  readonly authorizer?: Layer.Layer<Authorizer>
  readonly balancer?: Layer.Layer<ClientBalancer>
  readonly directory?: Layer.Layer<TenantDirectory>
  readonly policy?: Layer.Layer<TenantPolicy>
  /** A `Telemetry` layer. */
  readonly telemetry?: Layer.Layer<never>
  /** State that an earlier broker left. */
  readonly stored?: DurableState
  /** Instead of `stored`. */
  readonly storage?: Layer.Layer<Journal | SessionStore | RetainedStore>
  /** What connects it with other nodes; else it is alone. */
  readonly cluster?: Layer.Layer<ClusterServices>
  /** What lives beside the broker and works with it. */
  readonly beside?: Layer.Layer<never, unknown, Broker | EventSink>
  /** Time goes by itself, as a thread of storage needs it; `advance` does nothing then. */
  readonly isRealTime?: boolean
  /** When the test begins, in milliseconds since the epoch. */
  readonly nowMs?: number
  /** Bytes that the memory wire holds in each direction: small ones make slow clients. */
  readonly wireBytesMax?: number
}

/** Of the test's clock. What takes real time, as a file does, has about as many milliseconds. */
const STOP_SECONDS_MAX = 10_000

/** Starts a broker, runs the body, and stops the broker whatever happened. */
export const withBroker = async (
  options: TestBrokerOptions,
  body: (broker: TestBroker) => Promise<void>
): Promise<void> => {
  const broker = await TestBroker.start(options)
  try {
    await body(broker)
  } finally {
    await broker.stop()
  }
}

export class TestBroker {
  readonly events: Array<Event> = []
  readonly clock: ManualClock
  private readonly scope = Effect.runSync(Scope.make())
  private readonly listener: ReturnType<typeof memoryListener>
  broker!: Broker["Type"]

  private readonly isRealTime: boolean

  private constructor(options: TestBrokerOptions) {
    this.isRealTime = options.isRealTime === true
    const { nowMs, wireBytesMax } = options
    this.clock = new ManualClock(nowMs)
    this.listener = memoryListener({ name: "memory", bufferBytesMax: wireBytesMax })
  }

  static async start(options: TestBrokerOptions = {}): Promise<TestBroker> {
    const broker = new TestBroker(options)
    const built = Effect.withRandom(Layer.buildWithScope(broker.layer(options), broker.scope), Random.make(1))
    const context = await Effect.runPromise(
      options.isRealTime === true ? built : Effect.withClock(built, broker.clock)
    )
    broker.broker = Effect.runSync(Effect.provide(Broker, context))
    return broker
  }

  private layer(options: TestBrokerOptions): Layer.Layer<Broker, unknown> {
    const settings = { ...defaultTenantSettings, ...options.settings }
    const sink = Layer.succeed(EventSink, {
      report: (event: Event) => {
        this.events.push(event)
      }
    })
    const services: Layer.Layer<BrokerServices> = Layer.mergeAll(
      Layer.succeed(Transports, [this.listener]),
      options.authenticator ?? Authenticator.layerAnonymous("always"),
      options.authorizer ?? Authorizer.layerAllowAll,
      options.balancer ?? ClientBalancer.layerStay,
      options.directory ?? TenantDirectory.layerSingle(settings),
      options.storage ?? layerMemory(options.stored),
      options.policy ?? Layer.empty,
      options.telemetry ?? Layer.empty,
      sink
    )
    const { beside = Layer.empty, cluster } = options
    const broker =
      cluster === undefined
        ? Broker.layer(options.options)
        : Layer.provide(Broker.layerNode(options.options), cluster)
    return Layer.provideMerge(Layer.provide(beside, sink), broker.pipe(Layer.provide(services)))
  }

  /** A wire with nothing sent yet. */
  open(version: Version = 4): TestClient {
    return new TestClient(this.listener.connect(), version)
  }

  /** A client that has connected; `connack` holds the answer. Fails unless it was accepted. */
  async connect(options: RawConnect = {}): Promise<TestClient> {
    const client = this.open(options.version ?? 4)
    await client.send(raw.connect(options))
    await client.connected()
    return client
  }

  /** Moves time and lets what became due happen. */
  async advance(ms: number): Promise<void> {
    this.clock.advance(ms)
    await this.settle()
  }

  /** Lets everything that needs no time and no input happen. */
  async settle(): Promise<void> {
    for (let round = 0; round < 8; round++) await new Promise<void>((resolve) => setImmediate(resolve))
  }

  /**
   * Shuts the broker down. Time moves on by itself while it drains, so that a client that does not read
   * cannot hold it; a broker that does not stop for hours fails the test.
   */
  async stop(): Promise<void> {
    let stopped = false
    const closing = Effect.runPromise(Scope.close(this.scope, Exit.void)).finally(() => {
      stopped = true
    })
    for (let seconds = 0; !this.isRealTime && !stopped; seconds++) {
      if (seconds === STOP_SECONDS_MAX) {
        throw new Error(`the broker does not stop: ${JSON.stringify(this.broker.census())} are left`)
      }
      await this.advance(1000)
    }
    await closing
  }

  eventsOf<Tag extends Event["_tag"]>(tag: Tag): ReadonlyArray<Extract<Event, { _tag: Tag }>> {
    return this.events.filter((event): event is Extract<Event, { _tag: Tag }> => event._tag === tag)
  }
}

/**
 * The packets of the server as mqtt-packet names them: `cmd`, `messageId`, `reasonCode`, `properties`, ...
 */
export type ServerPacket = Packet

export class TestClient {
  private readonly reader: ServerReader
  private readonly packets: Array<Packet> = []
  connack: Extract<Packet, { cmd: "connack" }> | undefined

  constructor(
    readonly wire: MemoryClient,
    readonly version: Version
  ) {
    this.reader = new ServerReader(version)
  }

  /** Sends bytes in one chunk; waits only when the wire is full. */
  async send(...parts: ReadonlyArray<Uint8Array>): Promise<void> {
    for (const part of parts) await this.wire.send(part)
  }

  /** The next packet of the server; undefined when it has closed. */
  async next(): Promise<Packet | undefined> {
    while (this.packets.length === 0) {
      const chunk = await this.wire.receive()
      if (chunk === undefined) return undefined
      this.packets.push(...this.reader.push(chunk))
    }
    return this.packets.shift()
  }

  /** The next packet, which must be of that kind. */
  async expect<Cmd extends Packet["cmd"]>(cmd: Cmd): Promise<Extract<Packet, { cmd: Cmd }>> {
    const packet = await this.next()
    expect(packet?.cmd ?? "closed").toBe(cmd)
    return packet as Extract<Packet, { cmd: Cmd }>
  }

  /** Waits for CONNACK, which must accept. */
  async connected(): Promise<void> {
    const connack = await this.expect("connack")
    expect(this.version === 5 ? connack.reasonCode : connack.returnCode).toBe(0)
    this.connack = connack
  }

  /** Everything until the server closes. Fails by the test's timeout if it does not. */
  async untilClosed(): Promise<ReadonlyArray<Packet>> {
    const packets: Array<Packet> = []
    for (;;) {
      const packet = await this.next()
      if (packet === undefined) return packets
      packets.push(packet)
    }
  }

  /** The server closes without another packet. */
  async expectClosed(): Promise<void> {
    expect(await this.untilClosed()).toEqual([])
  }

  /** Nothing has come that was not read: proved by a ping, whose answer would stand behind it. */
  async quiet(): Promise<void> {
    await this.send(raw.pingreq())
    await this.expect("pingresp")
  }

  /** Subscribes and waits for SUBACK. `filters` as in `raw.subscribe`. */
  async subscribe(
    ...filters: ReadonlyArray<string | readonly [filter: string, options: number]>
  ): Promise<void> {
    await this.send(raw.subscribe({ version: this.version, packetId: 1000, filters }))
    await this.expect("suback")
  }

  /** Publishes at QoS 1 and waits for PUBACK: afterwards the message has been routed. */
  async publish(
    topic: string,
    payload = "payload",
    options: { readonly retain?: boolean } = {}
  ): Promise<void> {
    const { version } = this
    await this.send(raw.publish({ version, topic, payload, qos: 1, packetId: 2000, ...options }))
    await this.expect("puback")
  }

  /** Drops the wire without DISCONNECT. */
  drop(): void {
    this.wire.destroy()
  }
}
