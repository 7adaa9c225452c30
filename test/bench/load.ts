/**
 * The load generator: one scenario against one broker, in a process of its own so that it can have a
 * processor of its own.
 *
 *     bun test/bench/load.ts '{"scenario": {...}, "port": 1883, "addresses": ["127.0.0.1"], "pid": 42, ...}'
 *
 * Prints one line of JSON, a `LoadResult`. Ends with an error when a connection is refused or closed.
 */

import type { StorageCounters } from "../../src/storage/StorageCounters.ts"
import { LatencyHistogram } from "./LatencyHistogram.ts"
import { forEach, LoadClient, Rota } from "./LoadClient.ts"
import { type Usage, usageOf } from "./ProcessMeter.ts"
import type { ConnectionScenario, LoadScenario, MessageScenario } from "./scenarios.ts"
import { Publisher, Subscriber, Tally } from "./traffic.ts"

export interface LoadRequest {
  readonly scenario: LoadScenario
  readonly port: number
  /** The broker listens on all of them. */
  readonly addresses: ReadonlyArray<string>
  /** The broker's process, to be metered. */
  readonly pid: number
  /** Where the broker tells what its storage has counted, when it has storage that counts. */
  readonly countersPort: number | undefined
  readonly seconds: number
  readonly warmSeconds: number
}

export interface LoadResult {
  /** Messages delivered, or acknowledged where nobody is there, or connections made, a second. */
  readonly perSecond: number
  /** Microseconds of the broker's processor for each of them. */
  readonly cpuUs: number
  /** Share of the time in which the broker was running. */
  readonly utilization: number
  /** Share of the time in which the broker could have run and others had its processor. */
  readonly waited: number
  /** Share of the time in which the generator was running: near 1, the generator is what was measured. */
  readonly generator: number
  readonly p50Us: number
  readonly p99Us: number
  readonly lost: number
  readonly duplicated: number
  readonly reordered: number
  /** A second without any delivery in a closed loop: something was lost and the window was opened again. */
  readonly stalls: number
  /** From the write of a message to its PUBACK or PUBREC. */
  readonly ackP50Us: number
  readonly ackP99Us: number
  readonly commitsPerSecond: number
  readonly fsyncsPerSecond: number
  /** Share of the messages that their subscribers acknowledged before they were written. */
  readonly elided: number
  readonly residentBytes: number
  /** Resident memory for each idle connection. */
  readonly bytesPerConnection: number
}

const nothingMeasured: LoadResult = {
  perSecond: 0,
  cpuUs: 0,
  utilization: 0,
  waited: 0,
  generator: 0,
  p50Us: 0,
  p99Us: 0,
  lost: 0,
  duplicated: 0,
  reordered: 0,
  stalls: 0,
  ackP50Us: 0,
  ackP99Us: 0,
  commitsPerSecond: 0,
  fsyncsPerSecond: 0,
  elided: 0,
  residentBytes: 0,
  bytesPerConnection: 0
}

const sleep = (ms: number): Promise<void> => Bun.sleep(ms)

type Storage = Pick<StorageCounters, "commits" | "syncedCommits" | "recordsElided">

interface Mark {
  readonly atNs: number
  readonly broker: Usage
  readonly generatorUs: number
  readonly storage: Storage
}

const noStorage: Storage = { commits: 0, syncedCommits: 0, recordsElided: 0 }

const mark = async ({ countersPort, pid }: LoadRequest): Promise<Mark> => {
  const storage = countersPort === undefined ? null : await storageAt(countersPort)
  return {
    atNs: Bun.nanoseconds(),
    broker: usageOf(pid),
    generatorUs: usageOf(process.pid).cpuUs,
    storage: storage ?? noStorage
  }
}

/** Null where storage does not count. */
const storageAt = async (port: number): Promise<Storage | null> =>
  (await (await fetch(`http://127.0.0.1:${port}`)).json()) as Storage | null

/** What happened between two marks in which `count` messages or connections were served. */
const between = (from: Mark, to: Mark, count: number): Partial<LoadResult> => {
  const us = (to.atNs - from.atNs) / 1000
  const cpuUs = to.broker.cpuUs - from.broker.cpuUs
  return {
    perSecond: (count * 1e6) / us,
    cpuUs: count === 0 ? 0 : cpuUs / count,
    utilization: cpuUs / us,
    waited: (to.broker.waitedUs - from.broker.waitedUs) / us,
    generator: (to.generatorUs - from.generatorUs) / us,
    residentBytes: to.broker.residentBytes,
    commitsPerSecond: ((to.storage.commits - from.storage.commits) * 1e6) / us,
    fsyncsPerSecond: ((to.storage.syncedCommits - from.storage.syncedCommits) * 1e6) / us,
    elided: count === 0 ? 0 : Math.min(1, (to.storage.recordsElided - from.storage.recordsElided) / count)
  }
}

const measureMessages = async (scenario: MessageScenario, request: LoadRequest): Promise<LoadResult> => {
  const rota = new Rota()
  const latency = new LatencyHistogram()
  const ackLatency = new LatencyHistogram()
  const tally = new Tally(scenario, latency, ackLatency)
  const publishers = Array.from({ length: scenario.publishers }, (_, i) => new Publisher(rota, tally, i))
  const subscribers = Array.from(
    { length: scenario.subscribers },
    (_, i) => new Subscriber(rota, tally, publishers, i)
  )
  await forEach<LoadClient>([...subscribers, ...publishers], (client) => client.connect(request.port))
  if (scenario.sessions === "absent") await forEach(subscribers, (subscriber) => subscriber.leave())

  tally.isPublishing = true
  const pace = startPublishing(scenario, publishers, rota)
  if (scenario.warmUp > 1) await sleep(request.warmSeconds * 3000)
  pace.isWarmingUp = false
  await sleep(request.warmSeconds * 1000)
  const from = await mark(request)
  tally.isMeasuring = true
  await sleep(request.seconds * 1000)
  tally.isMeasuring = false
  const to = await mark(request)
  tally.isPublishing = false
  const stalls = pace.stop()

  const isOver = await untilDelivered(publishers, scenario.rate > 0 ? 50 : Number.POSITIVE_INFINITY)
  const outstanding = publishers.reduce((sum, publisher) => sum + publisher.outstanding, 0)
  const missing = subscribers.reduce((sum, subscriber) => sum + subscriber.lost, tally.skipped)
  const areCounted = scenario.mode === "shared" || scenario.sessions === "absent"
  const present: ReadonlyArray<LoadClient> = scenario.sessions === "absent" ? [] : subscribers
  await forEach([...publishers, ...present], (client) => client.leave())
  return {
    ...nothingMeasured,
    ...between(from, to, tally.received),
    p50Us: latency.quantile(0.5),
    p99Us: latency.quantile(0.99),
    ackP50Us: ackLatency.quantile(0.5),
    ackP99Us: ackLatency.quantile(0.99),
    // What is still under way is not lost. Members of a shared subscription see parts of a sequence, those
    // who are absent see nothing: there only the sum tells.
    lost: !isOver ? 0 : areCounted ? Math.max(0, outstanding) : missing,
    duplicated: areCounted ? Math.max(0, -outstanding) : tally.duplicated,
    reordered: tally.reordered,
    stalls
  }
}

/**
 * Sets the publishers going and keeps them going: an open loop by the clock, a closed one that lost messages
 * again.
 */
const startPublishing = (
  scenario: MessageScenario,
  publishers: ReadonlyArray<Publisher>,
  rota: Rota
): { isWarmingUp: boolean; readonly stop: () => number } => {
  const pace = {
    isWarmingUp: scenario.warmUp > 1,
    stop: () => {
      clearInterval(pacing)
      return stalls
    }
  }
  for (const [index, publisher] of publishers.entries()) {
    publisher.grant(scenario.isInStep ? 0 : index / publishers.length, 1)
  }
  if (scenario.rate === 0) for (const publisher of publishers) rota.add(publisher)
  let lastNs = Bun.nanoseconds()
  let stalls = 0
  const progress = publishers.map((publisher) => publisher.sequence)
  const pacing = setInterval(
    () => {
      const nowNs = Bun.nanoseconds()
      const seconds = (nowNs - lastNs) / 1e9
      lastNs = nowNs
      const rate = pace.isWarmingUp ? scenario.rate * scenario.warmUp : scenario.rate
      for (const [index, publisher] of publishers.entries()) {
        if (rate > 0) publisher.grant(rate * seconds, Math.max(2, rate * 0.05))
        else if (publisher.sequence === progress[index]) {
          stalls++
          publisher.undelivered = 0
          rota.add(publisher)
        }
        progress[index] = publisher.sequence
      }
    },
    scenario.rate > 0 ? 1 : 1000
  )
  return pace
}

/**
 * Waits for what is on its way: no longer than two seconds without news, and `looksMax` tenths of a second in
 * all. An open loop may have offered more than the broker delivers in a minute: then false.
 */
const untilDelivered = async (publishers: ReadonlyArray<Publisher>, looksMax: number): Promise<boolean> => {
  const outstanding = () => publishers.reduce((sum, publisher) => sum + publisher.outstanding, 0)
  let last = outstanding()
  for (let quiet = 0, looks = 0; quiet < 20 && last > 0; quiet++, looks++) {
    if (looks === looksMax) return false
    await sleep(100)
    const now = outstanding()
    if (now !== last) quiet = 0
    last = now
  }
  return true
}

const newcomers = (name: string, scenario: ConnectionScenario, count: number): ReadonlyArray<LoadClient> => {
  const rota = new Rota()
  const { tls, version } = scenario
  return Array.from(
    { length: count },
    (_, index) => new LoadClient(rota, { clientId: `bench-${name}-${index}`, version, tls })
  )
}

/** The broker has compiled its code and has its first memory before what is measured begins. */
const warmClients = 1000

const measureChurn = async (scenario: ConnectionScenario, request: LoadRequest): Promise<LoadResult> => {
  const comeAndGo = async (client: LoadClient): Promise<void> => {
    await client.connect(request.port)
    await client.leave()
  }
  await forEach(newcomers("warm", scenario, warmClients), comeAndGo)
  const from = await mark(request)
  await forEach(newcomers("churn", scenario, scenario.clients), comeAndGo)
  return { ...nothingMeasured, ...between(from, await mark(request), scenario.clients) }
}

const measureIdle = async (scenario: ConnectionScenario, request: LoadRequest): Promise<LoadResult> => {
  const { addresses, port } = request
  let next = 0
  const stay = (client: LoadClient): Promise<void> =>
    client.connect(port, addresses[next++ % addresses.length])
  await forEach(newcomers("warm", scenario, warmClients), stay)
  await sleep(1000)
  const from = await mark(request)
  await forEach(newcomers("idle", scenario, scenario.clients), stay)
  const to = await mark(request)
  // Until whatever the connecting left behind has been collected, or never will be.
  await sleep(request.seconds * 1000)
  const { residentBytes } = usageOf(request.pid)
  const bytesPerConnection = (residentBytes - from.broker.residentBytes) / scenario.clients
  return { ...nothingMeasured, ...between(from, to, scenario.clients), residentBytes, bytesPerConnection }
}

const measure = (request: LoadRequest): Promise<LoadResult> => {
  const { scenario } = request
  switch (scenario.kind) {
    case "messages":
      return measureMessages(scenario, request)
    case "churn":
      return measureChurn(scenario, request)
    case "idle":
      return measureIdle(scenario, request)
  }
}

if (import.meta.main) {
  const request = JSON.parse(process.argv[2] ?? "{}") as LoadRequest
  process.stdout.write(`${JSON.stringify(await measure(request))}\n`)
  process.exit(0)
}
