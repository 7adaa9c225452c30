/**
 * Writes what tenants use into the usage store: once a minute the hour that is under way, at the end of an
 * hour that hour, and at shutdown what is left.
 *
 * Rows are totals of this life of the broker (the writer), written whole, so that writing one again changes
 * nothing and a failed write is made good by the next. While nothing can be stored, rows wait, one for each
 * tenant and hour, up to a number; beyond that the oldest are given up, and that is logged.
 *
 * What a broker uses in the last minute before it is killed is not on record.
 */

import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { UsageRow, UsageStore } from "../../storage/UsageStore.ts"
import type { Counters } from "../../telemetry/Counters.ts"
import { UsageTally } from "./UsageTally.ts"

const MINUTE_MS = 60_000
const DAY_MS = 86_400_000
const WAITING_MAX = 100_000
/** A year, and a month to bill it. */
const KEPT_MS = 400 * DAY_MS

/** A tenant as the ledger sees it. */
export interface Metered {
  readonly id: string
  readonly counters: Counters
  readonly quota: { readonly windows: { readonly roll: (nowMs: number) => unknown } }
}

export interface UsageLedgerOptions {
  readonly store: UsageStore["Type"]
  readonly tenants: () => Iterable<Metered>
  /** Of all that write into the store, now and ever, only this life of this node. */
  readonly writer: string
}

/**
 * Keeps the ledger of these tenants until the scope closes. The effect that it gives writes what has changed
 * since the last time, and does not fail.
 */
export const keepUsageLedger = (
  options: UsageLedgerOptions
): Effect.Effect<Effect.Effect<void>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { store } = options
    const book = new Book(options, yield* Clock.currentTimeMillis)
    const flush = Effect.flatMap(Clock.currentTimeMillis, (nowMs) => write(store, book, nowMs))
    yield* Effect.addFinalizer(() => flush)
    yield* Effect.zipRight(flush, prune(store, book)).pipe(
      Effect.schedule(eachMinute),
      Effect.tapDefect((cause) => Effect.logFatal("the usage ledger died: nothing more is written", cause)),
      Effect.interruptible,
      Effect.forkScoped
    )
    return flush
  })

/** As the clock shows it, so that an hour ends with the hour. */
const eachMinute = Schedule.modifyDelayEffect(Schedule.forever, () =>
  Effect.map(Clock.currentTimeMillis, (nowMs) => MINUTE_MS - (nowMs % MINUTE_MS))
)

const write = (store: UsageStore["Type"], book: Book, nowMs: number): Effect.Effect<void> => {
  const { givenUp, rows } = book.collect(nowMs)
  const written =
    rows.length === 0
      ? Effect.void
      : Effect.matchEffect(store.write(rows), {
          onSuccess: () => Effect.sync(() => book.written(rows)),
          onFailure: ({ reason }) => Effect.logWarning(`the usage of tenants is not written yet: ${reason}`)
        })
  return givenUp === 0
    ? written
    : Effect.zipRight(Effect.logError(`${givenUp} hours of the usage of tenants are lost`), written)
}

const prune = (store: UsageStore["Type"], book: Book): Effect.Effect<void> =>
  Effect.flatMap(Clock.currentTimeMillis, (nowMs) =>
    book.isPruneDue(nowMs)
      ? Effect.catchAll(store.prune(nowMs - KEPT_MS), ({ reason }) =>
          Effect.logWarning(`old usage of tenants is not removed: ${reason}`)
        )
      : Effect.void
  )

/** The tallies of the tenants, and the rows that are yet to be written. */
class Book {
  private readonly tallies = new Map<Counters, UsageTally>()
  /** How many of a name there have been: each counts from nothing, and must not write the other's rows. */
  private readonly lives = new Map<string, number>()
  private readonly waiting = new Map<string, UsageRow>()
  private pruneDueMs = 0

  constructor(
    private readonly options: UsageLedgerOptions,
    private collectedMs: number
  ) {}

  collect(nowMs: number): { readonly rows: ReadonlyArray<UsageRow>; readonly givenUp: number } {
    const gone = new Set(this.tallies.keys())
    for (const tenant of this.options.tenants()) {
      gone.delete(tenant.counters)
      tenant.quota.windows.roll(nowMs)
      for (const row of this.tallyOf(tenant).rows(nowMs)) this.waiting.set(keyOf(row), row)
    }
    for (const counters of gone) this.tallies.delete(counters)
    this.collectedMs = nowMs
    const givenUp = Math.max(0, this.waiting.size - WAITING_MAX)
    for (const key of [...this.waiting.keys()].slice(0, givenUp)) this.waiting.delete(key)
    return { rows: [...this.waiting.values()], givenUp }
  }

  written(rows: ReadonlyArray<UsageRow>): void {
    for (const row of rows) if (this.waiting.get(keyOf(row)) === row) this.waiting.delete(keyOf(row))
  }

  isPruneDue(nowMs: number): boolean {
    if (nowMs < this.pruneDueMs) return false
    this.pruneDueMs = nowMs + DAY_MS
    return true
  }

  private tallyOf({ counters, id }: Metered): UsageTally {
    const known = this.tallies.get(counters)
    if (known !== undefined) return known
    const life = this.lives.get(id) ?? 0
    this.lives.set(id, life + 1)
    const { writer } = this.options
    const tally = new UsageTally(id, life === 0 ? writer : `${writer}/${life}`, counters, this.collectedMs)
    this.tallies.set(counters, tally)
    return tally
  }
}

const keyOf = ({ hourMs, tenant, writer }: UsageRow): string => `${hourMs} ${writer} ${tenant}`
