/**
 * The stores of tenants, users, usage and bans over the database, and what a tenant holds in it as a whole.
 * Each statement is short: what could be long goes a page at a time, with others' changes between.
 */

import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { BanStore } from "../BanStore.ts"
import { banKey, banTenant } from "../BanStore.ts"
import { StorageError } from "../StorageError.ts"
import type { TenantStore } from "../TenantStore.ts"
import type { UsageRow, UsageStore } from "../UsageStore.ts"
import type { StoredUser, UserStore } from "../UserStore.ts"
import type { AdministrationQueue } from "./AdministrationQueue.ts"
import { banOf, rulesText, tenantOf, usageOf, userOf } from "./administrationRows.ts"
import type { Row, Value } from "./Database.ts"

const pageRows = 500
/** Rows of the ledger that are written at a time. */
const usageRows = 100

/** Reads what a row says; fails when it makes no sense. */
const decoded = <A>(row: Row, decode: (row: Row) => A, what: string): Effect.Effect<A, StorageError> =>
  Effect.try({
    try: () => decode(row),
    catch: (cause) =>
      new StorageError({
        reason: `a ${what} in the database cannot be read: \`heddle db check\` says more`,
        cause
      })
  })

/** All rows, a page after another, each from behind the last row of the page before. */
const paged = <A>(
  page: (last: Row | undefined) => Effect.Effect<ReadonlyArray<Row>, StorageError>,
  decode: (row: Row) => A,
  what: string
): Stream.Stream<A, StorageError> =>
  Stream.paginateChunkEffect(undefined as Row | undefined, (last) =>
    Effect.gen(function* () {
      const rows = yield* page(last)
      const all = yield* Effect.forEach(rows, (row) => decoded(row, decode, what))
      const next = rows.length < pageRows ? Option.none() : Option.some(rows.at(-1))
      return [Chunk.unsafeFromArray(all), next] as const
    })
  )

const isOne = (rows: ReadonlyArray<Row>): boolean => rows.length > 0

export const tenantStoreOf = (queue: AdministrationQueue): TenantStore["Type"] => ({
  all: paged(
    (last) =>
      queue.rows(
        "read",
        `SELECT * FROM tenant WHERE ?1 IS NULL OR name > ?1 ORDER BY name LIMIT ${pageRows}`,
        [last?.[0] ?? null]
      ),
    tenantOf,
    "tenant"
  ),
  find: (tenant) =>
    Effect.flatMap(queue.rows("read", "SELECT * FROM tenant WHERE name = ?", [tenant]), ([row]) =>
      row === undefined ? Effect.succeed(undefined) : decoded(row, tenantOf, "tenant")
    ),
  put: ({ changedAtMs, createdAtMs, settings, state, tenant }) =>
    Effect.asVoid(
      queue.rows("synced", "INSERT OR REPLACE INTO tenant VALUES (?, ?, ?, ?, ?)", [
        ...[tenant, state, JSON.stringify(settings), createdAtMs, changedAtMs]
      ])
    ),
  remove: (tenant) =>
    Effect.map(queue.rows("synced", "DELETE FROM tenant WHERE name = ? RETURNING 1", [tenant]), isOne)
})

/** Counts the changes of users. */
export class UserRevision {
  current = 0

  /** Counts a change when it begins and when it ends: what was read in between may be from before it. */
  counted<A, E>(change: Effect.Effect<A, E>): Effect.Effect<A, E> {
    const count = Effect.sync(() => {
      this.current++
    })
    return Effect.zipRight(count, Effect.ensuring(change, count))
  }
}

export const userStoreOf = (queue: AdministrationQueue, revision: UserRevision): UserStore["Type"] => ({
  revision: () => revision.current,
  find: (username) =>
    Effect.flatMap(queue.rows("read", "SELECT * FROM user WHERE name = ?", [username]), ([row]) =>
      row === undefined ? Effect.succeed(undefined) : decoded(row, userOf, "user")
    ),
  list: ({ after, limit, tenant }) =>
    Effect.flatMap(
      tenant === undefined
        ? queue.rows("read", "SELECT * FROM user WHERE name > ? ORDER BY name LIMIT ?", [after, limit])
        : queue.rows("read", "SELECT * FROM user WHERE tenant = ? AND name > ? ORDER BY name LIMIT ?", [
            ...[tenant, after, limit]
          ]),
      (rows) => Effect.forEach(rows, (row) => decoded(row, userOf, "user"))
    ),
  add: (user) =>
    revision.counted(
      Effect.map(
        queue.rows("synced", "INSERT OR IGNORE INTO user VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING 1", [
          ...[user.username, user.tenant, ...valuesOf(user)]
        ]),
        isOne
      )
    ),
  replace: (user) =>
    revision.counted(
      Effect.map(
        queue.rows(
          "synced",
          "UPDATE user SET password = ?, rules = ?, is_disabled = ?, created_at = ?, changed_at = ?" +
            " WHERE name = ? AND tenant = ? RETURNING 1",
          [...valuesOf(user), user.username, user.tenant]
        ),
        isOne
      )
    ),
  remove: (username) =>
    revision.counted(
      Effect.map(queue.rows("synced", "DELETE FROM user WHERE name = ? RETURNING 1", [username]), isOne)
    )
})

/** In the order of the columns, from the third on. */
const valuesOf = ({ changedAtMs, createdAtMs, isDisabled, password, rules }: StoredUser) =>
  [password, rulesText(rules), isDisabled ? 1 : 0, createdAtMs, changedAtMs] satisfies Array<Value>

const writeUsage = "INSERT OR REPLACE INTO usage VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

const usageValues = (row: UsageRow): ReadonlyArray<Value> => [
  ...[row.hourMs, row.tenant, row.writer, row.messagesIn, row.bytesIn, row.messagesOut, row.bytesOut],
  ...[row.connects, row.connectionMs, row.connectionsPeak, row.sessionsPeak, row.storedBytesPeak],
  row.retainedMessagesPeak
]

export const usageStoreOf = (queue: AdministrationQueue): UsageStore["Type"] => ({
  write: (rows) =>
    Effect.forEach(
      Chunk.chunksOf(Chunk.fromIterable(rows), usageRows),
      (some, index) =>
        queue.run(
          // The last makes those before it survive a power cut, too.
          (index + 1) * usageRows >= rows.length ? "synced" : "write",
          Chunk.toReadonlyArray(some).map((row) => ({ text: writeUsage, parameters: usageValues(row) }))
        ),
      { discard: true }
    ),
  read: ({ fromMs, tenant, untilMs }) => {
    const [from, until] = [instant(fromMs), instant(untilMs)]
    return paged(
      (last) =>
        tenant === undefined
          ? queue.rows(
              "read",
              "SELECT * FROM usage WHERE (hour, tenant, writer) > (?, ?, ?) AND hour < ?" +
                ` ORDER BY hour, tenant, writer LIMIT ${pageRows}`,
              [...(last?.slice(0, 3) ?? [from, "", ""]), until]
            )
          : queue.rows(
              "read",
              "SELECT * FROM usage WHERE tenant = ? AND (hour, writer) > (?, ?) AND hour < ?" +
                ` ORDER BY hour, writer LIMIT ${pageRows}`,
              [tenant, last?.[0] ?? from, last?.[2] ?? "", until]
            ),
      usageOf,
      "row of the ledger"
    )
  },
  prune: (beforeMs) => prune(queue, instant(beforeMs))
})

const prune = (queue: AdministrationQueue, before: number): Effect.Effect<number, StorageError> =>
  Effect.gen(function* () {
    const rows = yield* queue.rows(
      "write",
      "DELETE FROM usage WHERE (hour, tenant, writer) IN" +
        ` (SELECT hour, tenant, writer FROM usage WHERE hour < ? LIMIT ${pageRows}) RETURNING 1`,
      [before]
    )
    return rows.length < pageRows ? rows.length : rows.length + (yield* prune(queue, before))
  })

/** What a column of integers holds at most. */
const instant = (ms: number): number =>
  Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, Math.ceil(ms)))

export const banStoreOf = (queue: AdministrationQueue): BanStore["Type"] => ({
  all: Stream.runCollect(
    paged(
      (last) =>
        queue.rows("read", `SELECT * FROM ban WHERE subject > ? ORDER BY subject LIMIT ${pageRows}`, [
          last?.[0] ?? ""
        ]),
      banOf,
      "ban"
    )
  ).pipe(Effect.map(Chunk.toReadonlyArray)),
  put: ({ reason, subject, untilMs }) =>
    Effect.asVoid(
      queue.rows("synced", "INSERT OR REPLACE INTO ban VALUES (?, ?, ?, ?)", [
        ...[banKey(subject), banTenant(subject) ?? null, reason, untilMs ?? null]
      ])
    ),
  remove: (subject) =>
    Effect.map(
      queue.rows("synced", "DELETE FROM ban WHERE subject = ? RETURNING 1", [banKey(subject)]),
      isOne
    )
})
