/** Plays a trace against a broker and the reference, and says where they differ. */

import type { DurableRecord } from "../../src/storage/DurableRecord.ts"
import { raw } from "../support/raw.ts"
import { TestBroker } from "../support/testBroker.ts"
import { HeldJournal } from "./HeldJournal.ts"
import { ModelClient } from "./ModelClient.ts"
import { Reference } from "./Reference.ts"
import { type ClientId, clientIds, retainedTopics, type Step } from "./Step.ts"
import { MemoryTables, type Tables } from "./Tables.ts"

const startMs = 1_800_000_000_000
const TICK_MS = 100

export interface PlayOptions {
  /** A journal that loses records of this kind: to see that it shows. */
  readonly loses?: DurableRecord["_tag"]
  /** What it commits to: in memory, unless others are given. */
  readonly tables?: () => Promise<Tables>
}

/** What is wrong, in the order in which it showed; with the step after which it did. */
export const play = async (
  trace: ReadonlyArray<Step>,
  { loses, tables = async () => new MemoryTables() }: PlayOptions = {}
): Promise<ReadonlyArray<string>> => {
  const scene = await Scene.begin(await tables(), loses)
  const violations: Array<string> = []
  const note = (where: string) => {
    for (const what of scene.reference.violations.splice(0)) violations.push(`${where}: ${what}`)
  }
  for (const [index, step] of trace.entries()) {
    await scene.take(step)
    note(`step ${index} ${step._tag}`)
    if (violations.length > 0) break
  }
  if (violations.length === 0) {
    await scene.finish()
    note("at the end")
  }
  await scene.stop()
  return violations
}

class Scene {
  readonly reference = new Reference(startMs)
  private readonly clients = new Map<ClientId, ModelClient>()
  private readonly stopping: Array<Promise<void>> = []

  private constructor(
    private broker: TestBroker,
    private journal: HeldJournal,
    private readonly tables: Tables,
    private readonly loses: DurableRecord["_tag"] | undefined
  ) {
    for (const clientId of clientIds) this.clients.set(clientId, new ModelClient(clientId, this.reference))
  }

  static async begin(tables: Tables, loses: DurableRecord["_tag"] | undefined): Promise<Scene> {
    const journal = new HeldJournal(tables, 1, loses)
    const broker = await TestBroker.start({ storage: journal.layer, nowMs: startMs })
    return new Scene(broker, journal, tables, loses)
  }

  async take(step: Step): Promise<void> {
    switch (step._tag) {
      case "JournalHold":
        this.journal.hold()
        break
      case "JournalRun":
        this.journal.run()
        break
      case "JournalTake":
        this.journal.take(step.count, step.withWaiting)
        break
      case "JournalCommit":
        this.journal.commit(step.count)
        break
      case "JournalTell":
        this.journal.tell(step.count)
        break
      case "Crash":
        await this.crash(step.downMs)
        break
      case "Advance":
        this.broker.clock.advance(step.ms)
        this.reference.advance(this.broker.clock.unsafeCurrentTimeMillis())
        break
      default:
        this.act(this.client(step.client), step)
    }
    await this.settle()
  }

  /** Everything is let go, everybody comes and takes what waits; then nothing may be missing. */
  async finish(): Promise<void> {
    this.journal.flush()
    this.journal.run()
    for (const client of this.clients.values()) {
      client.listen()
      client.release()
    }
    await this.settle()
    for (const client of this.clients.values()) {
      if (client.isConnected || !this.reference.mayHaveSession(client.clientId)) continue
      client.connect(this.broker.open(5).wire, {
        ...{ _tag: "Connect", client: client.clientId, isClean: false, expiry: 3600, version: 5 },
        ...{ receiveMaximum: 100, will: undefined }
      })
      await this.settle()
    }
    do {
      this.journal.flush()
      await this.settle()
    } while (!this.journal.isSettled)
    this.reference.finish()
    for (const { clientId, isConnected, unfinished } of this.clients.values()) {
      if (isConnected && unfinished > 0)
        this.reference.violate(`${clientId}: ${unfinished} messages are not acknowledged`)
    }
    await this.checkRetained()
  }

  async stop(): Promise<void> {
    this.journal.kill()
    for (const client of this.clients.values()) client.drop()
    this.stopping.push(this.broker.stop())
    await Promise.all(this.stopping)
    await this.tables.close()
  }

  private client(clientId: ClientId): ModelClient {
    const client = this.clients.get(clientId)
    if (client === undefined) throw new Error(`no client ${clientId}`)
    return client
  }

  private act(client: ModelClient, step: Extract<Step, { client: ClientId }>): void {
    const { clientId } = client
    if (step._tag === "Connect") return client.connect(this.broker.open(step.version).wire, step)
    if (step._tag === "Hold") return client.hold()
    if (step._tag === "Release") return client.release()
    if (step._tag === "Acknowledge") return client.acknowledge(step.count)
    if (step._tag === "Deafen") return client.deafen()
    if (step._tag === "Listen") return client.listen()
    if (!client.isConnected || !this.reference.isConnected(clientId)) return
    switch (step._tag) {
      case "Drop":
        client.drop()
        return this.reference.lost(clientId, true)
      case "Disconnect":
        client.disconnect(step.withWill)
        return this.reference.lost(clientId, step.withWill)
      case "Subscribe":
        client.subscribe(step.filter, step.qos)
        return this.reference.subscribed(clientId, step.filter, step.qos)
      case "Unsubscribe":
        client.unsubscribe(step.filter)
        return this.reference.subscribed(clientId, step.filter, undefined)
      case "Publish":
        return client.publish(this.reference.message(clientId, step.topic, step.qos), false)
      case "Retain":
        return client.publish(this.reference.message(clientId, step.topic, step.qos), step.isEmpty)
    }
  }

  /** Another broker goes on with what the journal has committed. */
  private async crash(downMs: number): Promise<void> {
    this.journal.kill()
    for (const client of this.clients.values()) client.crash()
    const nowMs = this.broker.clock.unsafeCurrentTimeMillis() + downMs
    this.stopping.push(this.broker.stop())
    await this.tables.reopen()
    this.journal = new HeldJournal(this.tables, this.journal.nextSequence, this.loses)
    this.reference.crash(nowMs)
    this.broker = await TestBroker.start({ storage: this.journal.layer, nowMs })
    // What has become due meanwhile happens with the first tick.
    this.broker.clock.advance(TICK_MS)
    this.reference.advance(nowMs + TICK_MS)
  }

  /** Until nothing happens any more by itself. */
  private async settle(): Promise<void> {
    let before: number
    do {
      before = this.activity
      await this.broker.settle()
    } while (this.activity !== before || this.tables.isBusy)
    if (this.journal.isIdle) this.reference.committed(this.journal.isSettled)
  }

  private get activity(): number {
    let sum = 0
    for (const client of this.clients.values()) sum += client.activity
    return sum
  }

  private async checkRetained(): Promise<void> {
    const probe = await this.broker.connect({ clientId: "probe", version: 5 })
    const found = new Map<string, number>()
    await probe.send(raw.subscribe({ version: 5, filters: ["r/#"] }))
    await this.broker.settle()
    await probe.send(raw.pingreq())
    for (let packet = await probe.next(); packet !== undefined; packet = await probe.next()) {
      if (packet.cmd === "pingresp") break
      if (packet.cmd === "publish") found.set(packet.topic, Number(packet.payload.toString()))
    }
    for (const topic of retainedTopics) this.reference.checkRetained(topic, found.get(topic) ?? 0)
    probe.drop()
  }
}
