/**
 * A crowd of clients on a whole broker for a while, then nothing: what they saw must be right, and the broker
 * must be as empty as before they came. The same seed does the same things in the same order, as far as
 * sockets and clocks let it.
 */

import { heapStats } from "bun:jsc"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { Broker, type Census } from "../../src/Broker.ts"
import { memoryListener } from "../../src/transport/Memory.ts"
import { tcpListener } from "../../src/transport/Tcp.ts"
import { Transports } from "../../src/transport/Transport.ts"
import { seeded } from "../support/raw.ts"
import { type Dial, memoryDial, tcpDial } from "./Dial.ts"
import { Ledger } from "./Ledger.ts"
import { SoakClient } from "./SoakClient.ts"

export interface SoakOptions {
  readonly seconds: number
  readonly clients: number
  readonly seed: number
  readonly transport: "memory" | "tcp"
  /** Told once a second how it goes. */
  readonly progress?: (ledger: Ledger, census: Census) => void
}

export interface SoakReport {
  readonly ledger: Ledger
  /** What the broker still held at the end, by the census's names; empty when all is well. */
  readonly leftovers: Readonly<Record<string, number>>
  /** With the listener up and nobody there. */
  readonly before: Memory
  /** When the broker is empty again and the clients' own records are forgotten. */
  readonly after: Memory
}

export interface Memory {
  readonly residentBytes: number
  /**
   * What is reachable: the figure in which a leak shows, because a process gives its pages back late or
   * never.
   */
  readonly heapBytes: number
}

/** Clients that talk to each other. */
const NEIGHBOURS = 20
const STEP_MS = 5
/** Each client does something this often, on average. */
const ACTION_EVERY_MS = 250
/** Longest session expiry of a client, and then some. */
const EMPTY_WITHIN_MS = 15_000

interface Running {
  readonly broker: Broker["Type"]
  readonly dial: Dial
  readonly stop: () => Promise<void>
}

const startBroker = async (transport: "memory" | "tcp"): Promise<Running> => {
  const memory = memoryListener({ name: "soak" })
  const tcp = tcpListener({ name: "soak", hostname: "127.0.0.1", port: 0 })
  const scope = Effect.runSync(Scope.make())
  const layer = Broker.layer().pipe(
    Layer.provide(Broker.layerDefaultServices),
    Layer.provide(Layer.succeed(Transports, [transport === "memory" ? memory : tcp]))
  )
  const context = await Effect.runPromise(Layer.buildWithScope(layer, scope))
  const broker = Effect.runSync(Effect.provide(Broker, context))
  return {
    broker,
    dial: transport === "memory" ? memoryDial(memory) : tcpDial(broker.listening[0]?.port ?? 0),
    stop: () => Effect.runPromise(Scope.close(scope, Exit.void))
  }
}

const makeClients = (options: SoakOptions, dial: Dial, ledger: Ledger): ReadonlyArray<SoakClient> => {
  const random = seeded(options.seed)
  return Array.from({ length: options.clients }, (_, index) => {
    const version = random(2) === 0 ? 4 : 5
    const habits = {
      clientId: `soak-${index}`,
      index,
      neighbourhood: Math.floor(index / NEIGHBOURS),
      neighbours: NEIGHBOURS,
      version,
      isPersistent: random(2) === 0,
      expirySeconds: 1 + random(3)
    } as const
    const own = seeded(random(0x7fff_ffff))
    return new SoakClient(habits, { dial, ledger, random: own, nowMs: () => performance.now() })
  })
}

const takeMemory = (): Memory => {
  Bun.gc(true)
  const { extraMemorySize, heapSize } = heapStats()
  return { residentBytes: process.memoryUsage.rss(), heapBytes: heapSize + extraMemorySize }
}

const leftoversOf = (census: Census): Readonly<Record<string, number>> => {
  const { retainedMessages: _, ...mustBeZero } = census
  return Object.fromEntries(Object.entries(mustBeZero).filter(([, count]) => count !== 0))
}

/** Waits until `isTrue`, but not for ever. */
const until = async (isTrue: () => boolean, withinMs: number): Promise<boolean> => {
  const endMs = performance.now() + withinMs
  while (!isTrue()) {
    if (performance.now() > endMs) return false
    await Bun.sleep(20)
  }
  return true
}

export const soak = async (options: SoakOptions): Promise<SoakReport> => {
  const ledger = new Ledger()
  const { broker, dial, stop } = await startBroker(options.transport)
  const before = takeMemory()
  await live(options, { broker, dial, ledger })
  const isEmpty = () => Object.keys(leftoversOf(broker.census())).length === 0
  await until(isEmpty, EMPTY_WITHIN_MS)
  const leftovers = leftoversOf(broker.census())
  ledger.forget()
  const after = takeMemory()
  await stop()
  return { ledger, leftovers, before, after }
}

interface Stage {
  readonly broker: Broker["Type"]
  readonly dial: Dial
  readonly ledger: Ledger
}

/** The whole life of the crowd; when it is over nobody refers to a client any more. */
const live = async (options: SoakOptions, { broker, dial, ledger }: Stage): Promise<void> => {
  const clients = makeClients(options, dial, ledger)
  const random = seeded(options.seed + 1)
  await bustle(clients, random, options, () => options.progress?.(ledger, broker.census()))
  await gather(clients, ledger)
  await empty(clients, random, ledger)
}

const bustle = async (
  clients: ReadonlyArray<SoakClient>,
  random: (below: number) => number,
  options: SoakOptions,
  progress: () => void
): Promise<void> => {
  const perStep = (clients.length * STEP_MS) / ACTION_EVERY_MS
  const endMs = performance.now() + options.seconds * 1000
  let due = 0
  let reportMs = performance.now() + 1000
  while (performance.now() < endMs) {
    for (due += perStep; due >= 1; due--) clients[random(clients.length)]?.act()
    if (performance.now() >= reportMs) {
      reportMs += 1000
      progress()
    }
    await Bun.sleep(STEP_MS)
  }
}

/**
 * Brings back those who have a session, and looks at what everybody got when nothing is on its way any more.
 */
const gather = async (clients: ReadonlyArray<SoakClient>, ledger: Ledger): Promise<void> => {
  const areIn = () => clients.every((client) => !client.isConnecting)
  if (!(await until(areIn, 10_000))) ledger.violate("clients got no CONNACK")
  for (const client of clients) client.gather()
  await until(areIn, 10_000)
  for (let before = -1; before !== ledger.delivered; ) {
    before = ledger.delivered
    await Bun.sleep(300)
  }
  for (const client of clients) client.judge()
}

/** Sends everybody home; some of those that were away just never come back, and their sessions expire. */
const empty = async (
  clients: ReadonlyArray<SoakClient>,
  random: (below: number) => number,
  ledger: Ledger
): Promise<void> => {
  for (const client of clients) {
    if (client.expiresByItself && random(2) === 0) continue
    client.retire()
    if (random(50) === 0) await Bun.sleep(1)
  }
  if (!(await until(() => clients.every((client) => client.isGone), 30_000))) {
    ledger.violate("clients that came to say goodbye got no answer")
  }
}
