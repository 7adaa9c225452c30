/** What a database holds, who holds most of it, and what it takes on the disk. */

import { statSync } from "node:fs"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { StorageError } from "../../StorageError.ts"
import { type Database, numberAt, textAt } from "../Database.ts"
import {
  type Administered,
  type Contents,
  readAdministered,
  readContents,
  readSweepable,
  type Sweepable
} from "./contents.ts"
import { atOneMoment, openReading, type Reading, readError, refuseOlder } from "./reading.ts"

export interface TenantShare {
  readonly tenant: string
  readonly sessions: number
  readonly connected: number
}

export interface LongQueue {
  readonly tenant: string
  readonly clientId: string
  readonly messages: number
  readonly bytes: number
}

export interface Stats extends Contents {
  readonly administered: Administered
  readonly schemaVersion: number
  /** Sequence number of the last frame that was applied. */
  readonly applied: number
  /** Those with the most sessions, the most first. */
  readonly tenants: ReadonlyArray<TenantShare>
  /** Of payload, properties and topic, counted for each queue. */
  readonly queuedBytes: number
  readonly longestQueues: ReadonlyArray<LongQueue>
  readonly retainedBytes: number
  /** Messages as they are stored: once, however many queues hold them. */
  readonly bodies: { readonly count: number; readonly shared: number; readonly bytes: number }
  readonly sweepable: Sweepable
  readonly disk: {
    readonly fileBytes: number
    readonly logBytes: number
    readonly pageBytes: number
    readonly pages: number
    readonly freePages: number
  }
}

const shown = 10

export const databaseStats = (file: string): Effect.Effect<Stats, StorageError> =>
  Effect.gen(function* () {
    const reading = yield* openReading(file, "database")
    yield* refuseOlder(reading)
    return yield* atOneMoment(reading, readStats(reading)).pipe(
      Effect.mapError((error) => readError(error, file, "database"))
    )
  }).pipe(Effect.scoped)

const readStats = ({ database, file, schema }: Reading): Effect.Effect<Stats, SqlError> =>
  Effect.gen(function* () {
    const [queued = [], retained = [], bodies = []] = yield* Effect.forEach(
      [queuedBytesQuery, retainedBytesQuery, bodiesQuery],
      (query) => Effect.map(database.rows(query), ([row]) => row ?? [])
    )
    return {
      schemaVersion: schema,
      applied: yield* database.number("SELECT applied FROM meta"),
      ...(yield* readContents(database)),
      administered: yield* readAdministered(database),
      tenants: yield* readTenants(database),
      queuedBytes: numberAt(queued, 0),
      longestQueues: yield* readLongestQueues(database),
      retainedBytes: numberAt(retained, 0),
      bodies: { count: numberAt(bodies, 0), shared: numberAt(bodies, 1), bytes: numberAt(bodies, 2) },
      sweepable: yield* readSweepable(database),
      disk: {
        fileBytes: sizeOf(file),
        logBytes: sizeOf(`${file}-wal`),
        pageBytes: yield* database.number("PRAGMA page_size"),
        pages: yield* database.number("PRAGMA page_count"),
        freePages: yield* database.number("PRAGMA freelist_count")
      }
    }
  })

const queuedBytesQuery =
  "SELECT coalesce(sum(d.bytes), 0) FROM delivery AS d JOIN progress AS p ON p.session = d.session" +
  " WHERE d.position >= p.head"

const retainedBytesQuery = "SELECT coalesce(sum(length(body)), 0) FROM retained"

const bodiesQuery =
  "SELECT count(*), count(*) FILTER (WHERE refs > 1), coalesce(sum(length(body)), 0) FROM message"

const readTenants = (database: Database): Effect.Effect<ReadonlyArray<TenantShare>, SqlError> =>
  Effect.map(
    database.rows(
      "SELECT tenant, count(*) AS sessions, sum(is_connected) FROM session GROUP BY tenant" +
        " ORDER BY sessions DESC, tenant LIMIT ?",
      [shown]
    ),
    (rows) =>
      rows.map((row) => ({ tenant: textAt(row, 0), sessions: numberAt(row, 1), connected: numberAt(row, 2) }))
  )

const readLongestQueues = (database: Database): Effect.Effect<ReadonlyArray<LongQueue>, SqlError> =>
  Effect.map(
    database.rows(
      "SELECT s.tenant, s.client_id, q.messages, q.bytes FROM (SELECT d.session, count(*) AS messages," +
        " sum(d.bytes) AS bytes FROM delivery AS d JOIN progress AS p ON p.session = d.session" +
        " WHERE d.position >= p.head GROUP BY d.session ORDER BY messages DESC, bytes DESC LIMIT ?) AS q" +
        " JOIN session AS s ON s.id = q.session" +
        " ORDER BY q.messages DESC, q.bytes DESC, s.tenant, s.client_id",
      [shown]
    ),
    (rows) =>
      rows.map((row) => ({
        tenant: textAt(row, 0),
        clientId: textAt(row, 1),
        messages: numberAt(row, 2),
        bytes: numberAt(row, 3)
      }))
  )

/** 0 when it is not there. */
const sizeOf = (file: string): number => statSync(file, { throwIfNoEntry: false })?.size ?? 0
