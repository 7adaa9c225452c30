/**
 * The tenants of a broker that have (or had) clients: each made once, when its first client comes, from what
 * the directory says of it. While one tenant's settings are being asked for, its clients wait and those of
 * the others do not.
 *
 * What is said of one tenant takes effect one after another: made, changed, removed. One that is being
 * removed cannot be made anew before nothing is left of it.
 */

import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { TenantState } from "../storage/TenantStore.ts"
import { loggable } from "../telemetry/redaction.ts"
import { governed } from "./policy/governed.ts"
import { TenantPolicy } from "./policy/TenantPolicy.ts"
import { Tenant } from "./Tenant.ts"
import type { TenantContext } from "./TenantContext.ts"
import { TenantDirectory, TenantUnavailable, unknownTenant } from "./TenantDirectory.ts"
import {
  defaultTenantSettings,
  type SettingName,
  settingNames,
  type TenantSettings
} from "./TenantSettings.ts"
import { carryUsage } from "./usedBefore.ts"

export interface Tenants {
  /** The tenant's supervisor. */
  readonly get: (id: string) => Effect.Effect<Tenant, TenantUnavailable>
  /** One that was made before; undefined when no client of it has come yet. */
  readonly find: (id: string) => Tenant | undefined
  /** Those that were made so far. */
  readonly all: () => Iterable<Tenant>
  /** For one that is not served now: what it takes up before it is. It is not served if that fails. */
  readonly restoreFirst: (id: string, restore: Restore) => void
  /** Asks the directory again of those that were made, or of one of them: what has changed holds from now. */
  readonly refresh: (id?: string) => Effect.Effect<void>
  /**
   * Ends a tenant, its sessions and their connections, and does the cleaning up. Nobody gets in before that
   * is done; when it fails, nobody does until it is tried again.
   */
  readonly remove: <A, E, R>(id: string, cleanUp: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

export interface TenantsOptions {
  /** Clients a second that a tenant sends away when it is drained. */
  readonly drainRate: number
}

type Restore = (tenant: Tenant) => Effect.Effect<void, TenantUnavailable>

interface Live {
  readonly tenant: Tenant
  readonly scope: Scope.CloseableScope
}

export const makeTenants = (
  context: TenantContext,
  options: TenantsOptions
): Effect.Effect<Tenants, never, TenantDirectory | Scope.Scope> =>
  Effect.gen(function* () {
    const directory = governed(yield* TenantDirectory, yield* TenantPolicy, context.report)
    // A scope as old as this registry: what is acquired later, as the connections are, is released before the
    // tenants, although each of these is made only when its first client comes.
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope, exit) => Scope.close(scope, exit))
    const registry = new Registry(directory, context, { ...options, scope })
    const { changes } = directory
    if (changes !== undefined) {
      const follow = Stream.runForEach(changes, (id) => registry.refresh(id))
      yield* Effect.forkIn(Effect.catchAllCause(Effect.disconnect(follow), changesEnded), scope)
    }
    return registry
  })

const changesEnded = (cause: Cause.Cause<never>): Effect.Effect<void> =>
  Effect.logError("the directory does not tell of its changes any more", cause)

class Registry implements Tenants {
  private readonly live = new Map<string, Live>()
  private readonly asking = new Map<string, Turns>()
  private readonly unrestored = new Map<string, Restore>()
  /** Tenants that are being removed: whoever comes for one finds none, and makes none. */
  private readonly removed = new Set<string>()

  constructor(
    private readonly directory: TenantDirectory["Type"],
    private readonly context: TenantContext,
    private readonly options: TenantsOptions & { readonly scope: Scope.Scope }
  ) {}

  get(id: string): Effect.Effect<Tenant, TenantUnavailable> {
    const known = this.live.get(id)
    if (known !== undefined) return Effect.succeed(known.tenant)
    return this.removed.has(id) ? unknownTenant(id) : this.inTurn(id, this.make(id))
  }

  find(id: string): Tenant | undefined {
    return this.live.get(id)?.tenant
  }

  *all(): Iterable<Tenant> {
    for (const { tenant } of this.live.values()) yield tenant
  }

  restoreFirst(id: string, restore: Restore): void {
    this.unrestored.set(id, restore)
  }

  refresh(id?: string): Effect.Effect<void> {
    const ids = id === undefined ? [...this.live.keys()] : [id]
    return Effect.forEach(ids, (each) => this.inTurn(each, this.askAgain(each)), { discard: true })
  }

  remove<A, E, R>(id: string, cleanUp: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    const end = Effect.suspend(() => {
      this.removed.add(id)
      this.unrestored.delete(id)
      const known = this.live.get(id)
      if (known === undefined) return Effect.void
      known.tenant.enterState("deleting", this.options.drainRate)
      this.live.delete(id)
      return Scope.close(known.scope, Exit.void)
    })
    return this.inTurn(
      id,
      Effect.zipRight(Effect.uninterruptible(end), cleanUp).pipe(
        Effect.tap(() => Effect.sync(() => this.removed.delete(id)))
      )
    )
  }

  private make(id: string): Effect.Effect<Tenant, TenantUnavailable> {
    return Effect.suspend(() => {
      const known = this.live.get(id)
      if (known !== undefined) return Effect.succeed(known.tenant)
      if (this.removed.has(id)) return unknownTenant(id)
      return Effect.flatMap(this.ask(id), (entry) => Effect.uninterruptible(this.take(id, entry)))
    })
  }

  /** What the directory says of a tenant. */
  private ask(id: string): Effect.Effect<Entry, TenantUnavailable> {
    const { directory } = this
    return Effect.gen(function* () {
      const settings: unknown = yield* directory.settings(id)
      if (!areSettings(settings)) return yield* nonsense(id)
      const state = directory.state === undefined ? "active" : yield* directory.state(id)
      if (!states.has(state)) return yield* nonsense(id)
      if (state === "deleting") return yield* unknownTenant(id)
      return { settings, state }
    }).pipe(
      Effect.disconnect,
      Effect.timeoutFail({ duration: DIRECTORY_MS_MAX, onTimeout: () => noAnswer(id) }),
      // What it does wrong about one tenant must not keep a broker from serving the others.
      Effect.catchAllCause((cause) => {
        const failure = Option.getOrUndefined(Cause.failureOption(cause))
        if (failure instanceof TenantUnavailable) return failure
        return Effect.zipRight(failedAbout(id, cause), nonsense(id))
      })
    )
  }

  private take(id: string, { settings, state }: Entry): Effect.Effect<Tenant, TenantUnavailable> {
    const { context, live, options, unrestored } = this
    return Effect.gen(function* () {
      const scope = yield* Scope.fork(options.scope, ExecutionStrategy.sequential)
      const tenant = yield* Scope.extend(Tenant.make(id, settings, context), scope)
      const restore = unrestored.get(id) ?? (() => Effect.void)
      const prepared = Effect.zipRight(
        carryUsage(tenant, context.usage, context.timekeeper.nowMs),
        Effect.suspend(() => restore(tenant))
      )
      yield* Effect.tapErrorCause(prepared, (cause) => Scope.close(scope, Exit.failCause(cause)))
      unrestored.delete(id)
      tenant.enterState(state, options.drainRate)
      live.set(id, { tenant, scope })
      return tenant
    })
  }

  /** While the directory cannot say, everything stays as it was. */
  private askAgain(id: string): Effect.Effect<void> {
    return Effect.suspend(() => {
      const tenant = this.find(id)
      if (tenant === undefined) return Effect.void
      return Effect.matchCauseEffect(this.ask(id), {
        onSuccess: ({ settings, state }) =>
          Effect.sync(() => {
            tenant.applySettings(settings)
            tenant.enterState(state, this.options.drainRate)
          }),
        onFailure: (cause) => {
          const failure = Option.getOrUndefined(Cause.failureOption(cause))
          if (failure?.isUnknown !== true) {
            return Effect.annotateLogs(
              Effect.logWarning("the directory does not say how the tenant has changed", loggable(cause)),
              { tenant: id }
            )
          }
          return Effect.sync(() => tenant.enterState("suspended", this.options.drainRate))
        }
      })
    })
  }

  /** One at a time of those that are about the same tenant. */
  private inTurn<A, E, R>(id: string, work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.acquireUseRelease(
      Effect.sync(() => enter(this.asking, id)),
      (turns) => turns.semaphore.withPermits(1)(work),
      (turns) => Effect.sync(() => leave(this.asking, id, turns))
    )
  }
}

interface Entry {
  readonly settings: TenantSettings
  readonly state: TenantState
}

const states: ReadonlySet<TenantState> = new Set(["active", "suspended", "draining", "deleting"])

/** How long the directory may think about one tenant. */
const DIRECTORY_MS_MAX = 10_000

const noAnswer = (tenant: string): TenantUnavailable =>
  new TenantUnavailable({ tenant, reason: "the directory gives no answer in time" })

const failedAbout = (tenant: string, cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  Effect.annotateLogs(Effect.logError("the directory failed about a tenant", loggable(cause)), { tenant })

/** Whether all settings are there, each of its kind. */
const areSettings = (answer: unknown): answer is TenantSettings => {
  if (typeof answer !== "object" || answer === null) return false
  const given: { readonly [Name in SettingName]?: unknown } = answer
  return settingNames.every((name) => typeof given[name] === typeof defaultTenantSettings[name])
}

const nonsense = (tenant: string): TenantUnavailable =>
  new TenantUnavailable({ tenant, reason: "the directory answered nonsense" })

/**
 * Those who wait for one tenant. Forgotten with the last, so that names of no tenant leave nothing behind.
 */
interface Turns {
  readonly semaphore: Effect.Semaphore
  waiting: number
}

const enter = (asking: Map<string, Turns>, id: string): Turns => {
  const turns = asking.get(id) ?? { semaphore: Effect.unsafeMakeSemaphore(1), waiting: 0 }
  turns.waiting++
  asking.set(id, turns)
  return turns
}

const leave = (asking: Map<string, Turns>, id: string, turns: Turns): void => {
  turns.waiting--
  if (turns.waiting === 0) asking.delete(id)
}
