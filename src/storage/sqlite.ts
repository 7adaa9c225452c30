/**
 * Durable storage in one SQLite database on this machine: the journal and the stores over it.
 *
 * A thread of its own owns the database. The scope of the layer owns the thread: when it closes, everything
 * that was appended is committed first, for as long as `closeMs` allows.
 */

import { mkdirSync } from "node:fs"
import { join } from "node:path"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Telemetry } from "../telemetry/Telemetry.ts"
import type { AdministrationStores } from "./administration.ts"
import { BanStore } from "./BanStore.ts"
import type { ByteReader } from "./frame/ByteReader.ts"
import { Journal } from "./Journal.ts"
import { RetainedStore } from "./RetainedStore.ts"
import { SessionStore } from "./SessionStore.ts"
import { StorageCounters } from "./StorageCounters.ts"
import { StorageError } from "./StorageError.ts"
import { AdministrationQueue } from "./sqlite/AdministrationQueue.ts"
import {
  banStoreOf,
  tenantStoreOf,
  UserRevision,
  usageStoreOf,
  userStoreOf
} from "./sqlite/administration.ts"
import { makeAlarm } from "./sqlite/alarm.ts"
import { tenantContentsOf } from "./sqlite/contents.ts"
import { acquireLock } from "./sqlite/lock.ts"
import { readAll, readRetained, readSession } from "./sqlite/pages.ts"
import type { DoneReply } from "./sqlite/requests.ts"
import { type JournalEvent, SqliteJournal, type SqliteJournalOptions } from "./sqlite/SqliteJournal.ts"
import { SqliteThread } from "./sqlite/SqliteThread.ts"
import { TenantContents } from "./TenantContents.ts"
import { TenantStore } from "./TenantStore.ts"
import { UsageStore } from "./UsageStore.ts"
import { UserStore } from "./UserStore.ts"

export interface SqliteOptions {
  /** The directory that holds the database. Made when it is not there. */
  readonly path: string
  /** How large the database may become. Default: as large as the disk allows. */
  readonly bytesMax?: number
  /** How long units may wait that may: twice at most. Default 10 ms. */
  readonly holdMs?: number
  /** How long after a failure to try again. Default 1 s. */
  readonly retryMs?: number
  /** How long closing may take. Default 10 s. */
  readonly closeMs?: number
  readonly batchRecordsMax?: number
  readonly batchBytesMax?: number
  readonly waitingRecordsMax?: number
  readonly waitingBytesMax?: number
  /** What a tenant of weight 1 may have written in a round while others wait as well. */
  readonly quantumBytes?: number
  readonly atTickEnd?: (callback: () => void) => void
  /** To be counted in. */
  readonly counters?: StorageCounters
}

export const databaseName = "heddle.db"

/** How often messages that have expired are looked for. */
const expireEveryMs = 60_000

const defaults = {
  bytesMax: Number.POSITIVE_INFINITY,
  holdMs: 10,
  retryMs: 1000,
  closeMs: 10_000,
  batchRecordsMax: 5000,
  batchBytesMax: 8 * 1024 * 1024,
  waitingRecordsMax: 100_000,
  waitingBytesMax: 64 * 1024 * 1024,
  quantumBytes: 16 * 1024,
  // Everything that one turn of the event loop brings goes into one batch.
  atTickEnd: (callback: () => void): void => {
    setImmediate(callback)
  }
}

/** What `makeSqlite` makes. */
export interface Sqlite {
  readonly journal: Journal["Type"]
  readonly sessionStore: SessionStore["Type"]
  readonly retainedStore: RetainedStore["Type"]
  readonly administration: Context.Context<AdministrationStores>
  readonly counters: StorageCounters
  readonly thread: SqliteThread
}

/** The journal and the stores over the database in a directory. */
export const layerSqlite = (
  options: SqliteOptions
): Layer.Layer<Journal | SessionStore | RetainedStore | AdministrationStores, StorageError> =>
  Layer.scopedContext(
    Effect.map(makeSqlite(options), ({ administration, journal, retainedStore, sessionStore }) =>
      Context.make(Journal, journal).pipe(
        Context.add(SessionStore, sessionStore),
        Context.add(RetainedStore, retainedStore),
        Context.merge(administration)
      )
    )
  )

/** The same as values, with what is behind them. */
export const makeSqlite = (given: SqliteOptions): Effect.Effect<Sqlite, StorageError, Scope.Scope> =>
  Effect.gen(function* () {
    const options = { ...defaults, ...given, counters: given.counters ?? new StorageCounters() }
    const { bytesMax, counters, path } = options
    yield* Effect.try({
      try: () => mkdirSync(path, { recursive: true }),
      catch: (cause) => new StorageError({ reason: `cannot make the directory ${path}: ${cause}`, cause })
    })
    yield* acquireLock(path)
    const thread = yield* Effect.acquireRelease(
      Effect.sync(() => new SqliteThread({ file: join(path, databaseName), bytesMax })),
      (open) => Effect.sync(() => open.kill())
    )
    const { applied, databaseBytes } = yield* openThread(thread)
    counters.databaseBytes = databaseBytes
    yield* expireNowAndThen(thread)
    const journal = yield* makeJournal({ ...options, thread, applied })
    const administration = new AdministrationQueue(thread, (reply) => journal.threadEnded(reply))
    return {
      administration: administrationOf(administration, journal),
      journal: {
        append: (unit) => journal.append(unit),
        status: (tenant) => journal.status(tenant),
        whenRelieved: (resume, tenant) => journal.whenRelieved(resume, tenant),
        counters
      },
      sessionStore: {
        sessions: pages(thread, "Sessions", readSession).pipe(
          Stream.mapChunksEffect((page) => {
            counters.sessionsRead += page.length
            return Effect.as(progress(counters.sessionsRead, page.length, "sessions"), page)
          })
        ),
        queue: (request, answer) => journal.queue(request, answer)
      },
      retainedStore: {
        messages: pages(thread, "Retained", readRetained).pipe(
          Stream.mapChunksEffect((page) => {
            counters.retainedRead += page.length
            return Effect.as(progress(counters.retainedRead, page.length, "retained messages"), page)
          })
        )
      },
      counters,
      thread
    }
  })

const administrationOf = (
  queue: AdministrationQueue,
  journal: SqliteJournal
): Context.Context<AdministrationStores> => {
  const users = new UserRevision()
  const readQueue: SessionStore["Type"]["queue"] = (request, answer) => journal.queue(request, answer)
  return Context.make(TenantStore, tenantStoreOf(queue)).pipe(
    Context.add(UserStore, userStoreOf(queue, users)),
    Context.add(UsageStore, usageStoreOf(queue)),
    Context.add(BanStore, banStoreOf(queue)),
    Context.add(TenantContents, tenantContentsOf({ queue, readQueue, users }))
  )
}

const expireNowAndThen = (thread: SqliteThread): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    const clock = yield* Clock.clockWith(Effect.succeed)
    const alarm = yield* makeAlarm(expireEveryMs, () => {
      thread.request({ _tag: "Expire", nowMs: clock.unsafeCurrentTimeMillis() }, () => undefined)
      alarm.set()
    })
    alarm.set()
  })

const openThread = (thread: SqliteThread): Effect.Effect<DoneReply, StorageError> =>
  Effect.async((resume) => {
    thread.open((reply) =>
      resume(
        reply._tag === "Done"
          ? Effect.succeed(reply)
          : Effect.fail(new StorageError({ reason: reply.reason, cause: undefined }))
      )
    )
  })

/** How the journal is made, and what its alarms and its end take. */
type JournalSettings = Omit<SqliteJournalOptions, "releaseLater" | "retryLater" | "nowMs" | "report"> &
  Required<Pick<SqliteOptions, "holdMs" | "retryMs" | "closeMs">>

const makeJournal = (settings: JournalSettings): Effect.Effect<SqliteJournal, never, Scope.Scope> =>
  Effect.gen(function* () {
    const fork = Runtime.runFork(yield* Effect.runtime<never>())
    const release = yield* makeAlarm(settings.holdMs, () => journal.release())
    const retry = yield* makeAlarm(settings.retryMs, () => journal.retry())
    const { tracing } = yield* Telemetry
    const journal: SqliteJournal = new SqliteJournal({
      ...settings,
      tracing,
      releaseLater: release.set,
      retryLater: retry.set,
      nowMs: () => performance.now(),
      report: (event) => {
        fork(log(event))
      }
    })
    yield* Effect.addFinalizer(() => close(journal, settings))
    return journal
  })

const log = (event: JournalEvent): Effect.Effect<void> => {
  switch (event._tag) {
    case "Failing":
      return Effect.logError("storage fails; what can be refused is, the rest is tried again", event.error)
    case "Recovered":
      return Effect.logInfo("storage works again")
    case "GivenUp":
      return Effect.logFatal(
        `storage has failed for too long: the oldest ${event.records} changes that waited were given up`
      )
    case "ThreadEnded":
      return Effect.logError("the thread of the database has ended and is started again", event.error)
  }
}

/** Commits what waits, then closes the database. */
const close = (
  journal: SqliteJournal,
  { closeMs, thread }: Pick<JournalSettings, "thread" | "closeMs">
): Effect.Effect<void> =>
  Effect.async<void>((resume) => journal.close(() => resume(Effect.void))).pipe(
    Effect.zipRight(
      Effect.async<void>((resume) => thread.request({ _tag: "Close" }, () => resume(Effect.void)))
    ),
    Effect.interruptible,
    Effect.timeoutOption(closeMs),
    Effect.flatMap((closed) =>
      Option.isSome(closed) && journal.length === 0
        ? Effect.void
        : Effect.logFatal(`storage ended with ${journal.length} units that are not stored`)
    )
  )

/** How many of what is read at a start are worth a word. */
const progressEvery = 50_000

const progress = (read: number, added: number, what: string): Effect.Effect<void> =>
  Math.floor(read / progressEvery) === Math.floor((read - added) / progressEvery)
    ? Effect.void
    : Effect.logInfo(`${read} ${what} read`)

const sessionsPerPage = 1000
const retainedPerPage = 10_000

/** All pages of a kind, one after another: the next is read when the one before has been taken. */
const pages = <A>(
  thread: SqliteThread,
  _tag: "Sessions" | "Retained",
  read: (reader: ByteReader) => A
): Stream.Stream<A, StorageError> =>
  Stream.paginateChunkEffect(0, (after) =>
    Effect.async<readonly [Chunk.Chunk<A>, Option.Option<number>], StorageError>((resume) => {
      const max = _tag === "Sessions" ? sessionsPerPage : retainedPerPage
      thread.request({ _tag, after, max }, (reply) => {
        if (reply._tag === "Failed") {
          return resume(Effect.fail(new StorageError({ reason: reply.reason, cause: undefined })))
        }
        const page = Chunk.unsafeFromArray(readAll(reply.bytes, read))
        resume(Effect.succeed([page, Option.fromNullable(reply.next)]))
      })
    })
  )
