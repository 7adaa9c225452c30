/**
 * The hot paths of the performance smoke test, and the plain work that each is compared with.
 *
 * A path over a socket is compared with an echo over a socket, because the kernel's part of it varies from
 * machine to machine on its own; everything else with a loop of what JavaScript does anywhere: numbers, a
 * `Map`, a typed array.
 */

import type { Socket } from "bun"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { Actor } from "../../src/actor/Actor.ts"
import { Dispatcher } from "../../src/actor/Dispatcher.ts"
import type { Mailbox } from "../../src/actor/Mailbox.ts"
import { Broker } from "../../src/Broker.ts"
import { ByteSink, PagePool } from "../../src/protocol/ByteSink.ts"
import { makeDecoders } from "../../src/protocol/Decoder.ts"
import { publishFrame, writeFrame } from "../../src/protocol/PublishWriter.ts"
import { MatchCache, type Route } from "../../src/router/MatchCache.ts"
import { SubscriptionTrie } from "../../src/topic/SubscriptionTrie.ts"
import { memoryListener } from "../../src/transport/Memory.ts"
import { tcpListener } from "../../src/transport/Tcp.ts"
import { Transports } from "../../src/transport/Transport.ts"
import { Peer, subscriptionOf } from "../router/support.ts"
import { concat, raw } from "../support/raw.ts"

/** A stretch of work, repeatable. */
export interface Work {
  readonly operations: number
  readonly work: () => void | Promise<void>
}

export interface Calibration extends Work {
  readonly stop: () => void | Promise<void>
}

export interface HotPath extends Work {
  readonly name: string
  readonly against: "computing" | "echoing"
}

const keys = Array.from({ length: 1024 }, (_, index) => `key/${index}/of/a/map`)

/** Plain JavaScript: a hash over bytes, a look-up in a map, a copy. One step is about 100 ns. */
export const computing: Calibration = {
  operations: 200_000,
  work: () => {
    const map = new Map(keys.map((key, index) => [key, index]))
    const bytes = new Uint8Array(64)
    const target = new Uint8Array(64)
    let hash = 0x811c9dc5
    for (let step = 0; step < 200_000; step++) {
      for (let index = 0; index < bytes.length; index++) hash = Math.imul(hash ^ bytes[index]!, 0x01000193)
      const found = map.get(keys[hash & 1023]!) ?? 0
      bytes[found & 63] = step
      target.set(bytes)
    }
    if (target.length === 0) throw new Error("nothing was copied")
  },
  stop: () => {}
}

/** A socket as a conversation: writes, and waits until so many bytes have come. */
class Line {
  private missing = 0
  private arrived: (() => void) | undefined

  private constructor(private readonly socket: Socket<undefined>) {}

  static async open(port: number): Promise<Line> {
    let line: Line | undefined
    const socket = await Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        open: (socket) => {
          socket.setNoDelay(true)
        },
        data: (_socket, chunk) => line?.take(chunk.length)
      }
    })
    line = new Line(socket)
    return line
  }

  ask(bytes: Uint8Array, answerBytes: number): Promise<void> {
    this.missing += answerBytes
    return new Promise((resolve) => {
      this.arrived = resolve
      this.socket.write(bytes)
    })
  }

  private take(count: number): void {
    this.missing -= count
    if (this.missing <= 0) this.arrived?.()
  }

  end(): void {
    this.socket.end()
  }
}

const roundTrips = 1_000

/** One step is a message of 64 bytes to a server of this process, and back. */
export const echoing = async (): Promise<Calibration> => {
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open: (socket) => {
        socket.setNoDelay(true)
      },
      data: (socket, chunk) => {
        socket.write(chunk)
      }
    }
  })
  const line = await Line.open(server.port)
  const message = new Uint8Array(64)
  return {
    operations: roundTrips,
    work: async () => {
      for (let trip = 0; trip < roundTrips; trip++) await line.ask(message, message.length)
    },
    stop: () => {
      line.end()
      server.stop(true)
    }
  }
}

const topic = "plant/line-7/device-0042"
const publish = raw.publish({ topic, payload: Buffer.alloc(64, 0x2e) })
const packets = 256

const decoding = (): HotPath => {
  const decoder = makeDecoders()({ packetBytesMax: 1024 * 1024 })
  decoder.push(raw.connect({ clientId: "device-0042" }))
  decoder.next()
  const chunk = concat(...Array.from({ length: packets }, () => publish))
  const chunks = 300
  return {
    name: "decode a PUBLISH",
    against: "computing",
    operations: chunks * packets,
    work: () => {
      let decoded = 0
      for (let index = 0; index < chunks; index++) {
        decoder.push(chunk)
        while (decoder.next() !== undefined) decoded++
      }
      if (decoded !== chunks * packets) throw new Error(`${decoded} packets were decoded`)
    }
  }
}

const encoding = (): HotPath => {
  const decoder = makeDecoders()({ packetBytesMax: 1024 * 1024 })
  decoder.push(raw.connect({ clientId: "device-0042" }))
  decoder.next()
  decoder.push(publish)
  const packet = decoder.next()
  if (packet?._tag !== "Publish") throw new Error("PUBLISH was not decoded")
  const frame = publishFrame(4, packet, true)
  const sink = new ByteSink(new PagePool())
  const chunks = 1_000
  return {
    name: "encode a PUBLISH from a shared frame",
    against: "computing",
    operations: chunks * packets,
    work: () => {
      for (let chunk = 0; chunk < chunks; chunk++) {
        for (let index = 0; index < packets; index++) writeFrame(sink, frame, 0x32, 7)
        sink.release()
      }
    }
  }
}

const looking = (): HotPath => {
  const trie = new SubscriptionTrie<object, Route>()
  const peer = new Peer()
  const topics = Array.from({ length: 1_000 }, (_, id) => `plant/line-7/device-${id}`)
  for (const each of topics) trie.set(each, peer, subscriptionOf(peer))
  const cache = new MatchCache(trie, 100_000)
  const times = 1_000
  return {
    name: "look up a topic in the match cache",
    against: "computing",
    operations: times * topics.length,
    work: () => {
      for (let time = 0; time < times; time++) for (const each of topics) cache.lookup(each)
    }
  }
}

/** The behaviour of a session that does nothing but count. */
class Counter {
  constructor(private readonly tally: { handled: number }) {}

  turn(mail: Mailbox<number>, budget: number): number {
    let units = 0
    while (units < budget && mail.take() !== undefined) units++
    this.tally.handled += units
    return units
  }

  onDefect(defect: unknown): void {
    throw defect
  }
}

const eventLoopTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

const waking = Effect.gen(function* () {
  const dispatcher = yield* Dispatcher.make()
  const runQueue = dispatcher.runQueue(1)
  const tally = { handled: 0 }
  const limits = { countMax: 1_000, bytesMax: 1 << 20, bytesOf: () => 64 }
  const actors = Array.from({ length: 1_000 }, () => {
    return new Actor({ runQueue, limits, behaviour: new Counter(tally), fork: Effect.runFork })
  })
  const times = 100
  const path: HotPath = {
    name: "wake an actor",
    against: "computing",
    operations: times * actors.length,
    work: async () => {
      for (let time = 0; time < times; time++) {
        const target = tally.handled + actors.length
        for (const actor of actors) actor.tell(64)
        while (tally.handled < target) await eventLoopTurn()
      }
    }
  }
  return path
})

/** A subscriber that counts bytes, and a publisher, on one wire each. */
const inMemory = async (listener: ReturnType<typeof memoryListener>): Promise<HotPath> => {
  let missing = 0
  let arrived: (() => void) | undefined
  const take = (chunk: Uint8Array): void => {
    missing -= chunk.length
    if (missing <= 0) arrived?.()
  }
  const ignore = (): void => {}
  const wire = listener.connectWire({ onData: take, onDrain: ignore, onClose: ignore })
  const ask = (to: typeof wire, bytes: Uint8Array, answerBytes: number): Promise<void> => {
    missing += answerBytes
    return new Promise((resolve) => {
      arrived = resolve
      if (to.write(bytes, 0, bytes.length) < bytes.length) throw new Error("the wire is full")
    })
  }
  await ask(wire, raw.connect({ clientId: "in memory" }), 4)
  await ask(wire, raw.subscribe({ filters: [[topic, 0]] }), 5)
  const messages = 500
  const chunk = concat(...Array.from({ length: messages }, () => publish))
  const times = 100
  return {
    name: "QoS 0 through the whole broker, in memory",
    against: "computing",
    operations: times * messages,
    work: async () => {
      for (let time = 0; time < times; time++) await ask(wire, chunk, chunk.length)
    }
  }
}

const overTcp = async (port: number): Promise<HotPath> => {
  const line = await Line.open(port)
  await line.ask(raw.connect({ clientId: "over tcp" }), 4)
  await line.ask(raw.subscribe({ filters: [[`${topic}/tcp`, 0]] }), 5)
  const message = raw.publish({ topic: `${topic}/tcp`, payload: Buffer.alloc(64, 0x2e) })
  return {
    name: "QoS 0 through the whole broker, over TCP",
    against: "echoing",
    operations: roundTrips,
    work: async () => {
      for (let trip = 0; trip < roundTrips; trip++) await line.ask(message, message.length)
    }
  }
}

/** The broker and its clients live as long as the scope. */
export const hotPaths: Effect.Effect<ReadonlyArray<HotPath>, unknown, Scope.Scope> = Effect.gen(function* () {
  const memory = memoryListener({ name: "memory", bufferBytesMax: 1 << 20 })
  const tcp = tcpListener({ name: "tcp", hostname: "127.0.0.1", port: 0 })
  const layer = Broker.layer({ drainMs: 0 }).pipe(
    Layer.provide(Broker.layerDefaultServices),
    Layer.provide(Layer.succeed(Transports, [memory, tcp]))
  )
  const { listening } = yield* Effect.provide(Broker, yield* Layer.build(layer))
  const port = listening.find(({ name }) => name === "tcp")?.port ?? 0
  return [
    decoding(),
    encoding(),
    looking(),
    yield* waking,
    yield* Effect.promise(() => inMemory(memory)),
    yield* Effect.promise(() => overTcp(port))
  ]
})
