/**
 * A broker with two tenants, and their clients by the same names. Everything that tenant b can see of it is
 * taken down: what its clients are sent, byte for byte; its events, counters and holdings.
 */

import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import { defaultTenantSettings, type TenantSettings } from "../../../src/tenant/TenantSettings.ts"
import { type Administered, administered, type Storage } from "../../control/administered.ts"
import { properties, raw } from "../../support/raw.ts"
import type { TestBroker, TestClient } from "../../support/testBroker.ts"
import { Services } from "./Services.ts"
import { type ClientStep, clientIds, type Step, type TenantStep, topics } from "./Trace.ts"
import { Wire } from "./Wire.ts"

/** What tenant b can see. */
export interface Seen {
  /** A line a connection, in the order in which they were opened: what came, and whether it was closed. */
  readonly wires: ReadonlyArray<string>
  readonly events: ReadonlyArray<unknown>
  readonly counters: unknown
  readonly census: unknown
  readonly use: unknown
}

/** In force for tenant b from the beginning. Small, so that its clients come to their limits. */
const settingsOfB: TenantSettings = {
  ...defaultTenantSettings,
  sharedSubscriptionStrategy: "random",
  tenantPublishRate: 20,
  tenantOutboundBytesRate: 3000,
  retainedMessagesMax: 3,
  queueMessagesMax: 30,
  messagesPerDay: 200,
  sessionsMax: 3,
  eventTopics: true
}

/** Without rates and instants, which would be of real time; PUBACK says that something has been stored. */
const settingsOfStoredB: TenantSettings = {
  ...settingsOfB,
  tenantPublishRate: 0,
  tenantOutboundBytesRate: 0,
  messagesPerDay: 0,
  sessionsMax: 4,
  eventTopics: false,
  durability: "os"
}

const settingsOfA: TenantSettings = {
  ...defaultTenantSettings,
  sharedSubscriptionStrategy: "random",
  eventTopics: true
}

/** What tenant a may be given while its clients are there. */
const choicesOfA: ReadonlyArray<Readonly<Record<string, unknown>>> = [
  { publishRate: 1, tenantPublishRate: 1, burstSeconds: 1 },
  { tenantOutboundBytesRate: 1, outboundBytesRate: 1, retainedMatchRate: 1 },
  { messagesPerDay: 1, sessionsMax: 1, connectionsMax: 1 },
  { queueMessagesMax: 1, queuePolicy: "disconnect", retainedMessagesMax: 1 },
  { systemTopics: "all", eventTopics: true, debugEvents: true, sharedSubscriptionStrategy: "random" },
  { transientFanoutBytesRate: 1, persistentFanoutBytesRate: 1, transientSubscribeRate: 1 },
  { topicLevelsMax: 1, maximumQos: 0, retainAvailable: false, weight: 1000 },
  { publishRate: null, tenantPublishRate: null, messagesPerDay: null, sessionsMax: null, maximumQos: null }
]

/** Turns of the event loop, eight in each, in which nothing may come. */
const QUIET_ROUNDS = 4

const unlogged = Logger.remove(Logger.defaultLogger)

const question = {
  tenant: "a",
  clientId: clientIds[0] ?? "",
  action: "publish",
  topic: "t",
  qos: 1,
  retain: false
} as const

export interface Stage {
  readonly storage?: Storage
  /** Storage has a thread of its own: there is no manual time, and quiet is what has been stored. */
  readonly isRealTime?: boolean
}

/** Plays the steps in a world of their own, and looks at what has become of it. */
export const played = async <A>(
  steps: ReadonlyArray<Step>,
  look: (world: World) => A | Promise<A>,
  stage: Stage = {}
): Promise<A> => {
  const services = new Services()
  const found: Array<A> = []
  const settings = stage.isRealTime === true ? settingsOfStoredB : settingsOfB
  const tenants = new Map([["b", { state: "active", settings } as const]])
  const { authenticator, authorizer, policy } = services
  const table = { tenants, base: settingsOfA }
  // In real time, for clients that do not read.
  const options = { drainMs: 100 }
  const broker = { ...stage, options, table, authenticator, authorizer, policy, telemetry: unlogged }
  await administered(broker, async (parts) => {
    const world = new World(parts, services)
    if (stage.isRealTime === true) await world.watchStorage()
    await world.play(steps)
    found.push(await look(world))
  })
  const [answer] = found
  if (answer === undefined) throw new TypeError("nothing was played")
  return answer
}

/** Plays the steps, and tells what tenant b has seen. */
export const seenOf = (steps: ReadonlyArray<Step>, stage: Stage = {}): Promise<Seen> =>
  played(steps, (world) => world.seen(), stage)

export class World {
  readonly wires = { a: [] as Array<Wire>, b: [] as Array<Wire> }
  /** A client of tenant b that knows what is on record; undefined where everything is at once. */
  private recorder: TestClient | undefined
  private readonly current = { a: new Map<number, Wire>(), b: new Map<number, Wire>() }

  constructor(
    readonly parts: Administered,
    readonly services: Services
  ) {}

  async play(steps: ReadonlyArray<Step>): Promise<void> {
    const acted = { a: 0, b: 0 }
    for (const step of steps) {
      if (step._tag === "Time") await this.parts.broker.advance(step.ms)
      else if (step._tag === "Tenant") this.change(step.step)
      else this.act(step.tenant, step.client, step.step, `${step.tenant}${acted[step.tenant]++}`)
      if (step._tag === "Time" || (step._tag === "Client" && step.tenant === "b")) await this.quiet()
      else if (step.isAwaited) await this.still()
    }
    await this.quiet()
  }

  async watchStorage(): Promise<void> {
    const lasting = { clean: false, properties: properties.sessionExpiryInterval(600) }
    const { broker } = this.parts
    this.recorder = await broker.connect({ ...lasting, version: 5, clientId: "recorder", username: "b/user" })
    await this.recorder.subscribe(["$recorder", 1])
  }

  private act(tenant: "a" | "b", client: number, step: ClientStep, label: string): void {
    if (step._tag !== "Connect") return this.current[tenant].get(client)?.do(step, label)
    const { clean, isLasting, version, will, willDelayed } = step
    const wire = this.parts.broker.open(version)
    const isFive = version === 5
    const connection = new Wire(wire, version, tenant === "b")
    this.wires[tenant].push(connection)
    this.current[tenant].set(client, connection)
    void wire.send(
      raw.connect({
        version,
        clean,
        clientId: clientIds[client] ?? "",
        username: `${tenant}/user`,
        keepAlive: 60,
        ...(isFive && { properties: properties.sessionExpiryInterval(isLasting ? 600 : 0) }),
        ...(will >= 0 && {
          will: {
            topic: topics[will] ?? "",
            payload: `will ${label}`,
            qos: will % 3,
            retain: will % 2 === 1,
            ...(isFive &&
              willDelayed && {
                properties: properties.willDelayInterval(this.recorder === undefined ? 5 : 600)
              })
          }
        })
      })
    )
  }

  change(step: TenantStep): void {
    const { admin, bans, broker, explain } = this.parts
    const start = (work: Effect.Effect<unknown, unknown>) => {
      const timed = this.recorder === undefined ? Effect.withClock(work, broker.clock) : work
      void Effect.runPromiseExit(Effect.provide(timed, unlogged))
    }
    switch (step._tag) {
      case "Settings":
        return start(admin.update("a", choicesOfA[step.choice] ?? {}))
      case "State":
        return start(admin.enterState("a", step.state))
      case "Remove":
        return start(admin.remove("a", { withUsage: true }))
      case "Create":
        return start(admin.create("a", {}))
      case "Ban": {
        const clientId = clientIds[step.client] ?? ""
        const subject =
          step.what === "client"
            ? ({ _tag: "Client", tenant: "a", clientId } as const)
            : ({ _tag: "User", tenant: "a", principal: "user" } as const)
        return start(bans.add({ subject, reason: "banned", untilMs: undefined }))
      }
      case "Unban":
        return start(bans.remove({ _tag: "User", tenant: "a", principal: "user" }))
      case "Service":
        return this.services.set(step.service, step.fault)
      case "Reauthorize":
        return broker.broker.reauthorize("a")
      case "Purge":
        broker.broker.purge("a", clientIds[step.client] ?? "")
        return
      case "Ask":
        return start(explain(question))
    }
  }

  /** Until nothing more comes to tenant b, and its clients have acknowledged what has come. */
  private async quiet(): Promise<void> {
    do {
      await this.still()
      await this.recorded()
    } while (this.wires.b.some((wire) => wire.answer()))
  }

  /** What has been asked of tenant b's storage is on record when what it was asked last is. */
  private async recorded(): Promise<void> {
    const { recorder } = this
    if (recorder === undefined) return
    await recorder.send(raw.publish({ version: 5, topic: "$recorder", qos: 1, packetId: 1 }))
    const came = [await recorder.next(), await recorder.next()]
    const publish = came.find((packet) => packet?.cmd === "publish")
    await recorder.send(raw.puback({ packetId: publish?.messageId ?? 0 }))
    await this.still()
  }

  /** Until tenant b sees nothing more, however long that is looked for. */
  private async still(): Promise<void> {
    const { broker } = this.parts
    const progress = () => this.wires.b.reduce((sum, { size }) => sum + size, eventsOf(broker).length)
    let last = -1
    for (let rounds = 0; rounds < QUIET_ROUNDS; rounds++) {
      await broker.settle()
      const now = progress()
      if (now !== last) rounds = 0
      last = now
    }
  }

  seen(): Seen {
    const { broker } = this.parts
    const live = broker.broker.administration.tenant("b")
    const { latencies, ...counters } = { ...live?.counters }
    return {
      wires: this.wires.b.map(({ line }) => line),
      // How many of them there are in a second is limited, and so a matter of real time.
      events: this.recorder === undefined ? eventsOf(broker) : [],
      counters,
      census: live?.census,
      use: [...(live?.quota.windows.states(broker.clock.unsafeCurrentTimeMillis()) ?? [])]
    }
  }
}

const eventsOf = ({ events }: TestBroker): ReadonlyArray<unknown> =>
  events.filter((event) => "tenant" in event && event.tenant === "b")
