/**
 * The life of tenants, as an operator has it in hand: made, changed, suspended, drained, deleted, looked at.
 *
 * What is decided is stored first and takes effect then, so that a restart changes nothing. A tenant that
 * stands in the configuration is changed there; only its state may be restricted here. Deletion leaves a
 * tombstone until nothing of the tenant is left; a broker that finds one when it starts goes on with it.
 */

import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { BanList } from "../auth/guard/BanList.ts"
import { Broker } from "../Broker.ts"
import { tenantNamePattern } from "../config/TenantsSchema.ts"
import type { Event } from "../events/Event.ts"
import { EventSink } from "../events/EventSink.ts"
import { addContents, type ContentCounts, TenantContents } from "../storage/TenantContents.ts"
import { type StoredTenant, type TenantState, TenantStore } from "../storage/TenantStore.ts"
import { UsageStore } from "../storage/UsageStore.ts"
import { ConfiguredTenants, type TenantTable } from "../tenant/ConfiguredTenants.ts"
import { applyOverrides, decodeOverrides, settingConflicts } from "../tenant/settings/overrides.ts"
import { stateOf } from "../tenant/storedDirectory.ts"
import { DEFAULT_TENANT } from "../tenant/TenantDirectory.ts"
import { type AdministrationError, refused, unstored } from "./AdministrationError.ts"
import { detailsOf, summaryOf, type TenantDetails, type TenantSummary } from "./TenantDetails.ts"
import { addUsage, noUsage, type TenantUsage } from "./TenantUsage.ts"

type Answer<A> = Effect.Effect<A, AdministrationError>

/** As a person or a file gives them: a value, or null for what every tenant has. */
export type SettingChanges = Readonly<Record<string, unknown>>

export interface TenantRemoval {
  /** Whether its rows of the usage ledger go, too. */
  readonly withUsage: boolean
}

export class TenantAdmin extends Context.Tag("heddle/TenantAdmin")<
  TenantAdmin,
  {
    /** Those that are configured, stored, or live, by name. */
    readonly list: Answer<ReadonlyArray<TenantSummary>>
    readonly get: (tenant: string) => Answer<TenantDetails>
    /** A new tenant, with settings of its own where they are given. */
    readonly create: (tenant: string, settings: SettingChanges) => Answer<TenantDetails>
    /** Its settings from now on: those that are named change, the others stay. */
    readonly update: (tenant: string, changes: SettingChanges) => Answer<TenantDetails>
    readonly enterState: (tenant: string, state: "active" | "suspended" | "draining") => Answer<TenantDetails>
    /** Deletes it and all that it holds; what that was. */
    readonly remove: (tenant: string, removal: TenantRemoval) => Answer<ContentCounts>
    /** What it has used of its windows, and by the ledger from an instant (ms since the epoch) on. */
    readonly usage: (tenant: string, fromMs: number) => Answer<TenantUsage>
    /** Another configuration: what it says of tenants holds from now on, for those who are there as well. */
    readonly reconfigure: (table: TenantTable) => Effect.Effect<void>
  }
>() {
  static readonly layer: Layer.Layer<
    TenantAdmin,
    never,
    Broker | ConfiguredTenants | TenantStore | TenantContents | UsageStore | EventSink
  > = Layer.scoped(
    TenantAdmin,
    Effect.gen(function* () {
      const { administration, events } = yield* Broker
      const admin = new Admin({
        administration,
        recent: events.recent,
        bans: Option.getOrUndefined(yield* Effect.serviceOption(BanList)),
        configured: yield* ConfiguredTenants,
        store: yield* TenantStore,
        contents: yield* TenantContents,
        usage: yield* UsageStore,
        report: (yield* EventSink).report
      })
      yield* Effect.forkScoped(Effect.interruptible(admin.goOn))
      return admin
    })
  )
}

interface Parts {
  readonly recent: Broker["Type"]["events"]["recent"]
  readonly administration: Broker["Type"]["administration"]
  readonly bans: BanList["Type"] | undefined
  readonly configured: ConfiguredTenants["Type"]
  readonly store: TenantStore["Type"]
  readonly contents: TenantContents["Type"]
  readonly usage: UsageStore["Type"]
  readonly report: (event: Event) => void
}

/** What is removed again when a count finds something after all: a commit that was under way. */
const PURGES_MAX = 5

class Admin {
  /** Whoever changes what is stored reads it first. */
  private readonly changes = Effect.unsafeMakeSemaphore(1)

  constructor(private readonly parts: Parts) {}

  readonly list: Answer<ReadonlyArray<TenantSummary>> = Effect.suspend(() => {
    const { administration, configured, store } = this.parts
    return Effect.map(Effect.mapError(Stream.runCollect(store.all), unstored), (rows) => {
      const stored = new Map([...rows].map((row) => [row.tenant, row]))
      const names = new Set([...configured.table().tenants.keys(), ...stored.keys()])
      for (const { id } of administration.tenants()) names.add(id)
      return [...names].sort().map((name) => summaryOf(this.sources(name, stored.get(name))))
    })
  })

  get(tenant: string): Answer<TenantDetails> {
    return Effect.flatMap(this.find(tenant), (stored) => this.details(tenant, stored))
  }

  create(tenant: string, settings: SettingChanges): Answer<TenantDetails> {
    const { configured } = this.parts
    const made = Effect.gen(this, function* () {
      if (!tenantNamePattern.test(tenant)) {
        return yield* refused("invalid", `${JSON.stringify(tenant)} cannot be the name of a tenant`)
      }
      const stored = yield* this.find(tenant)
      if (stored?.state === "deleting") {
        return yield* refused("exists", `what ${tenant} was before is still being deleted`)
      }
      if (stored !== undefined || configured.table().tenants.has(tenant)) {
        return yield* refused("exists", `there is a tenant ${tenant} already`)
      }
      const row = { tenant, state: "active", settings: yield* this.changed(tenant, {}, settings) } as const
      return yield* this.put(row, undefined)
    })
    return this.settled(tenant, "created", this.alone(made))
  }

  update(tenant: string, changes: SettingChanges): Answer<TenantDetails> {
    const { configured } = this.parts
    return this.change(tenant, "updated", (stored) => {
      if (configured.table().tenants.has(tenant)) return inConfiguration(tenant, "its settings are")
      return Effect.map(this.changed(tenant, stored?.settings ?? {}, changes), (settings) => ({
        tenant,
        state: stored?.state ?? "active",
        settings
      }))
    })
  }

  enterState(tenant: string, state: "active" | "suspended" | "draining"): Answer<TenantDetails> {
    const { configured } = this.parts
    return this.change(tenant, stateChanges[state], (stored) => {
      const isRestricted = configured.table().tenants.get(tenant)?.state === "suspended"
      if (state === "active" && isRestricted) return inConfiguration(tenant, "its suspension is")
      return Effect.succeed({ tenant, state, settings: stored?.settings ?? {} })
    })
  }

  remove(tenant: string, removal: TenantRemoval): Answer<ContentCounts> {
    const { configured } = this.parts
    const tombstone = Effect.gen(this, function* () {
      if (configured.table().tenants.has(tenant)) return yield* inConfiguration(tenant, "it is")
      const stored = yield* this.find(tenant)
      if (stored === undefined && !(yield* this.isThere(tenant))) return yield* noSuchTenant(tenant)
      yield* this.put({ tenant, state: "deleting", settings: { ...removal } }, stored)
    })
    // A client that hangs up does not leave half a tenant.
    return Effect.uninterruptible(Effect.zipRight(this.alone(tombstone), this.bury(tenant, removal)))
  }

  usage(tenant: string, fromMs: number): Answer<TenantUsage> {
    const { administration, usage } = this.parts
    return Effect.gen(this, function* () {
      const nowMs = yield* Clock.currentTimeMillis
      yield* administration.flushUsage
      const total = yield* Effect.mapError(
        Stream.runFold(usage.read({ tenant, fromMs, untilMs: nowMs + 1 }), noUsage, addUsage),
        unstored
      )
      const live = administration.tenant(tenant)
      if (live === undefined && total.hours === 0) yield* this.get(tenant)
      return {
        tenant,
        fromMs,
        untilMs: nowMs,
        windows: [...(live?.quota.windows.states(nowMs) ?? [])],
        total
      }
    })
  }

  reconfigure(table: TenantTable): Effect.Effect<void> {
    const { administration, configured } = this.parts
    return Effect.suspend(() => {
      configured.replace(table)
      return administration.refresh()
    })
  }

  /** Deletions that the last broker has not finished. */
  readonly goOn: Effect.Effect<void> = Effect.suspend(() =>
    Stream.runForEach(
      Stream.filter(this.parts.store.all, ({ state }) => state === "deleting"),
      ({ settings: { withUsage }, tenant }) =>
        Effect.zipRight(
          Effect.logInfo("the deletion of a tenant goes on"),
          this.bury(tenant, { withUsage: withUsage === true })
        ).pipe(
          // The others' goes on all the same.
          Effect.catchAll((error) => Effect.logError("a tenant is not deleted yet", error)),
          Effect.annotateLogs({ tenant })
        )
    )
  ).pipe(Effect.catchAll((error) => Effect.logError("tenants are not deleted yet", error)))

  /** Removes all that there is of a tenant, and its tombstone when a count has found nothing more. */
  private bury(tenant: string, removal: TenantRemoval): Answer<ContentCounts> {
    const { administration, contents, store } = this.parts
    const nothingLeft = Effect.gen(this, function* () {
      let removed = yield* contents.purge(tenant, removal)
      for (let purges = 1; !isEmpty(yield* contents.count(tenant), removal); purges++) {
        if (purges === PURGES_MAX) return yield* refused("unavailable", `something of ${tenant} is left`)
        removed = addContents(removed, yield* contents.purge(tenant, removal))
      }
      yield* this.alone(store.remove(tenant))
      this.forget(tenant)
      return removed
    })
    return Effect.zipLeft(
      // What it has used is on record before it ends, or goes with the rest; nothing is written later.
      Effect.zipRight(administration.flushUsage, administration.remove(tenant, nothingLeft)).pipe(
        Effect.catchTag("StorageError", unstored)
      ),
      this.tell(tenant, "deleted")
    )
  }

  /** What is remembered of a tenant beside what it holds. */
  private forget(tenant: string): void {
    const { bans, recent } = this.parts
    recent.forget(tenant)
    for (const { subject } of bans?.list() ?? []) {
      if (subject._tag !== "Address" && subject.tenant === tenant) bans?.remove(subject)
    }
  }

  /** Changes what is stored of a tenant that there is, and what holds. */
  private change(
    tenant: string,
    change: Change,
    next: (stored: StoredTenant | undefined) => Answer<Row>
  ): Answer<TenantDetails> {
    const changed = Effect.gen(this, function* () {
      const stored = yield* this.find(tenant)
      if (stored?.state === "deleting") return yield* noSuchTenant(tenant)
      if (stored === undefined && !this.isKnown(tenant)) return yield* noSuchTenant(tenant)
      return yield* this.put(yield* next(stored), stored)
    })
    return this.settled(tenant, change, this.alone(changed))
  }

  /** What has been stored takes effect, and is told. */
  private settled(tenant: string, change: Change, stored: Answer<StoredTenant>): Answer<TenantDetails> {
    const { administration } = this.parts
    return Effect.tap(stored, () =>
      Effect.zipRight(administration.refresh(tenant), this.tell(tenant, change))
    ).pipe(
      Effect.flatMap((row) => this.details(tenant, row)),
      // Stored and not in force is the one thing that it may not stay.
      Effect.uninterruptible
    )
  }

  private put(row: Row, before: StoredTenant | undefined): Answer<StoredTenant> {
    return Effect.flatMap(Clock.currentTimeMillis, (nowMs) => {
      const stored = { ...row, createdAtMs: before?.createdAtMs ?? nowMs, changedAtMs: nowMs }
      return Effect.as(Effect.mapError(this.parts.store.put(stored), unstored), stored)
    })
  }

  /** The overrides that changes make of those that there are. */
  private changed(tenant: string, before: SettingChanges, changes: SettingChanges): Answer<SettingChanges> {
    const { base } = this.parts.configured.table()
    const kept = Object.entries({ ...before, ...changes }).filter(([, value]) => value !== null)
    const settings = Object.fromEntries(kept)
    return Either.match(decodeOverrides(settings), {
      onLeft: (problems) => notAllowed(tenant, problems),
      onRight: (overrides) => {
        const conflicts = settingConflicts(applyOverrides(base, overrides))
        return conflicts.length > 0 ? notAllowed(tenant, conflicts) : Effect.succeed(settings)
      }
    })
  }

  private find(tenant: string): Answer<StoredTenant | undefined> {
    return Effect.mapError(this.parts.store.find(tenant), unstored)
  }

  /** Whether a tenant of which nothing is stored exists all the same. */
  private isKnown(tenant: string): boolean {
    const { administration, configured } = this.parts
    if (tenant === DEFAULT_TENANT || configured.table().tenants.has(tenant)) return true
    return administration.tenant(tenant) !== undefined
  }

  private isThere(tenant: string): Answer<boolean> {
    if (this.isKnown(tenant)) return Effect.succeed(true)
    const counted = Effect.mapError(this.parts.contents.count(tenant), unstored)
    return Effect.map(counted, (counts) => !isEmpty(counts, { withUsage: true }))
  }

  private details(tenant: string, stored: StoredTenant | undefined): Answer<TenantDetails> {
    if (stored === undefined && !this.isKnown(tenant)) return noSuchTenant(tenant)
    return Effect.sync(() => detailsOf(this.sources(tenant, stored)))
  }

  private sources(tenant: string, stored: StoredTenant | undefined) {
    const { administration, configured } = this.parts
    const table = configured.table()
    return {
      tenant,
      table,
      stored,
      state: stateOf(tenant, table, stored),
      live: administration.tenant(tenant)
    }
  }

  private alone<A, E>(work: Effect.Effect<A, E>): Effect.Effect<A, E> {
    return this.changes.withPermits(1)(work)
  }

  private tell(tenant: string, change: Change): Effect.Effect<void> {
    return Effect.sync(() => this.parts.report({ _tag: "TenantChanged", tenant, change }))
  }
}

type Row = Pick<StoredTenant, "tenant" | "state" | "settings">

type Change = Extract<Event, { readonly _tag: "TenantChanged" }>["change"]

const stateChanges = {
  active: "resumed",
  suspended: "suspended",
  draining: "draining"
} as const satisfies Partial<Record<TenantState, Change>>

const isEmpty = ({ usageRows, ...held }: ContentCounts, { withUsage }: TenantRemoval): boolean =>
  (!withUsage || usageRows === 0) && Object.values(held).every((count) => count === 0)

const noSuchTenant = (tenant: string) => refused("not-found", `there is no tenant ${tenant}`)

const inConfiguration = (tenant: string, what: string) =>
  refused("configured", `${tenant}: ${what} in the configuration, and changed there`)

const notAllowed = (tenant: string, problems: AdministrationError["problems"]) =>
  refused("invalid", `settings of ${tenant} are not allowed`, problems)
