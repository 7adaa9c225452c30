/**
 * What is left of a world when everything that troubled it is over: everybody who is there is served, and
 * when they have gone nothing of them stays.
 */

import * as Effect from "effect/Effect"
import { settingNames } from "../../../src/tenant/TenantSettings.ts"
import { clientIds, type Step } from "./Trace.ts"
import { played, type World } from "./World.ts"

export interface Left {
  /** Clients that are there and are not answered. */
  readonly unanswered: number
  readonly census: unknown
  /** By tenant. */
  readonly gauges: ReadonlyArray<unknown>
  readonly waiting: ReadonlyArray<number>
}

export const nothingLeft: Left = {
  unanswered: 0,
  census: {
    ...{ connections: 0, sessions: 0, subscriptions: 0, trieNodes: 0 },
    ...{ groups: 0, deadlines: 0, bufferBytes: 0 }
  },
  gauges: [],
  waiting: []
}

/** Longer than anybody is waited for, and shorter than Keep Alive. */
const PATIENCE_SECONDS = 25

const DAY_MS = 86_400_000

const gaugeNames = [
  ...["connections", "sessions", "subscriptions", "queuedMessages", "queuedBytes", "persistentSessions"],
  ...["persistentBytes", "queuedMemoryBytes", "transientSubscriptions", "persistentSubscriptions"],
  "sharedSubscriptions"
] as const

export const leftOf = (steps: ReadonlyArray<Step>): Promise<Left> =>
  played(steps, async (world) => {
    await recover(world)
    const unanswered = await countUnanswered(world)
    await everybodyGoes(world)
    return { unanswered, ...holdingsOf(world) }
  })

/** No limits, no faults, no bans. */
const recover = async (world: World): Promise<void> => {
  const { parts, services } = world
  const { admin, bans, broker } = parts
  services.recover()
  const unlimited = Object.fromEntries(settingNames.map((name) => [name, null]))
  const work = [admin.update("a", unlimited), admin.enterState("a", "active")]
  for (const clientId of clientIds) work.push(bans.remove({ _tag: "Client", tenant: "a", clientId }) as never)
  for (const each of work) void Effect.runPromiseExit(Effect.withClock(each, broker.clock))
  world.change({ _tag: "Unban" })
  world.change({ _tag: "Reauthorize" })
  for (let second = 0; second < PATIENCE_SECONDS; second++) {
    await broker.advance(1000)
    for (const wire of world.wires.b) wire.answer()
  }
}

const countUnanswered = async ({ parts, wires }: World): Promise<number> => {
  const there = wires.a.filter(({ isListening }) => isListening)
  for (const wire of there) wire.ping()
  await parts.broker.settle()
  await parts.broker.advance(1000)
  return there.filter(({ hasPong, isListening }) => isListening && !hasPong).length
}

const everybodyGoes = async ({ parts: { broker }, wires }: World): Promise<void> => {
  for (const wire of [...wires.a, ...wires.b]) wire.drop()
  await broker.settle()
  await broker.advance(60_000)
  for (let week = 0; week < 2; week++) await broker.advance(7 * DAY_MS)
  for (const tenant of ["a", "b"]) for (const clientId of clientIds) broker.broker.purge(tenant, clientId)
  await broker.settle()
  await broker.advance(1000)
}

const holdingsOf = ({ parts: { broker } }: World): Omit<Left, "unanswered"> => {
  const { retainedMessages: _, ...census } = broker.broker.census()
  const live = [...broker.broker.administration.tenants()]
  const gauges = live.flatMap(({ counters, id }) =>
    gaugeNames.flatMap((name) => (counters[name] === 0 ? [] : [{ id, name, value: counters[name] }]))
  )
  const waiting = live.flatMap(({ quota: { publishing, replaying, retaining, sending } }) =>
    [publishing, retaining, sending, replaying].map((gate) => gate.waiting).filter((count) => count > 0)
  )
  return { census, gauges, waiting }
}
