/**
 * Publishes `$SYS/broker/...` into each tenant that somebody listens to it in, every now and then:
 * its own numbers, or those of the whole broker where the tenant's setting says so. At QoS 0 and not
 * retained: who subscribes has them after an interval at the latest.
 */

import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { sumOf, systemTopics } from "../telemetry/systemTopics.ts"
import type { Tenants } from "./Tenants.ts"

const INTERVAL = "10 seconds"

export const publishSystemTopics = (
  tenants: Tenants,
  version: string
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    const startedMs = yield* Clock.currentTimeMillis
    const publish = Effect.map(Clock.currentTimeMillis, (nowMs) => {
      const facts = { version, uptimeSeconds: Math.floor((nowMs - startedMs) / 1000) }
      publishAll(tenants, facts)
    })
    yield* Effect.forkScoped(Effect.schedule(publish, Schedule.spaced(INTERVAL)))
  })

const publishAll = (tenants: Tenants, facts: Parameters<typeof systemTopics>[1]): void => {
  let whole: ReturnType<typeof systemTopics> | undefined
  for (const tenant of tenants.all()) {
    const { counters, settings } = tenant
    if (settings.systemTopics === "none") continue
    // Where there is no room now the next interval brings newer ones.
    tenant.publishTexts(() =>
      settings.systemTopics === "own"
        ? systemTopics(counters, facts)
        : (whole ??= systemTopics(sumOf(countersOf(tenants)), facts))
    )
  }
}

function* countersOf(tenants: Tenants) {
  for (const { counters } of tenants.all()) yield counters
}
