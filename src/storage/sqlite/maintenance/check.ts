/**
 * Is the database sound? Asks SQLite, then looks at what only we know: the rules between the tables, and
 * whether what is stored as bytes can be read. Reads everything once, and changes nothing.
 */

import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { ByteReader } from "../../frame/ByteReader.ts"
import { readMessage, readWill } from "../../frame/content.ts"
import type { StorageError } from "../../StorageError.ts"
import { slotOf } from "../../slot.ts"
import { bytesAt, type Database, numberAt, type Row, textAt } from "../Database.ts"
import { type Contents, readContents, readSweepable, type Sweepable } from "./contents.ts"
import { becauseOf } from "./files.ts"
import { atOneMoment, openReading, type Reading, refuseOlder } from "./reading.ts"
import { leakedQuery, restoreBackup, rules } from "./rules.ts"

export interface Problem {
  readonly what: string
  readonly wayOut: string
}

export interface Checkup {
  readonly schemaVersion: number
  readonly problems: ReadonlyArray<Problem>
  /** Undefined when the file is too damaged to tell. */
  readonly summary: Summary | undefined
}

export interface Summary extends Contents {
  readonly applied: number
  readonly sweepable: Sweepable
  /** Message bodies that stay although nobody has them: no fault, but room that does not come back. */
  readonly leakedBodies: number
}

/** How many faults SQLite tells before it stops. */
const faultsMax = 20
const pageRows = 64

export const checkDatabase = (file: string): Effect.Effect<Checkup, StorageError> =>
  Effect.gen(function* () {
    const reading = yield* openReading(file, "database")
    yield* refuseOlder(reading)
    return yield* atOneMoment(reading, checkup(reading))
  }).pipe(Effect.scoped)

const checkup = ({ database, schema }: Reading): Effect.Effect<Checkup> =>
  Effect.gen(function* () {
    const [unread, found] = yield* Effect.partition(
      [faultsOfFile(database), brokenRules(database), unreadableRows(database)],
      (problems) => problems
    )
    const summary = yield* Effect.option(summaryOf(database))
    return {
      schemaVersion: schema,
      // What a damaged page has made unreadable comes up again and again.
      problems: [...found.flat(), ...unread.slice(0, 1).map(unreadable)],
      summary: summary._tag === "Some" ? summary.value : undefined
    }
  })

const unreadable = (error: SqlError): Problem => ({
  what: `not everything can be read: ${becauseOf(error)}`,
  wayOut: restoreBackup
})

const summaryOf = (database: Database): Effect.Effect<Summary, SqlError> =>
  Effect.gen(function* () {
    return {
      applied: yield* database.number("SELECT applied FROM meta"),
      ...(yield* readContents(database)),
      sweepable: yield* readSweepable(database),
      leakedBodies: yield* database.number(leakedQuery)
    }
  })

const faultsOfFile = (database: Database): Effect.Effect<ReadonlyArray<Problem>, SqlError> =>
  Effect.map(database.rows(`PRAGMA integrity_check(${faultsMax})`), (rows) =>
    rows
      .map((row) => textAt(row, 0))
      .filter((verdict) => verdict !== "ok")
      .map((verdict) => ({
        what: `the file is damaged: ${verdict.replaceAll(/\s+/g, " ")}`,
        wayOut: restoreBackup
      }))
  )

const brokenRules = (database: Database): Effect.Effect<ReadonlyArray<Problem>, SqlError> =>
  Effect.map(
    Effect.forEach(rules, ({ query, says, wayOut }) =>
      Effect.map(database.number(query), (broken) => (broken === 0 ? [] : [{ what: says(broken), wayOut }]))
    ),
    (problems) => problems.flat()
  )

/** Rows of a table, by identifier, that are told to be unreadable by a look at what they hold. */
interface Look {
  readonly columns: string
  readonly table: string
  /** The row without its identifier. */
  readonly isSound: (row: Row) => boolean
  readonly says: (broken: number) => string
}

const isReadable = (bytes: Uint8Array | undefined, read: (reader: ByteReader) => unknown): boolean => {
  if (bytes === undefined) return true
  const reader = new ByteReader(bytes)
  try {
    read(reader)
    return reader.isAtEnd
  } catch {
    return false
  }
}

const isInSlot = (row: Row): boolean => slotOf(textAt(row, 1), textAt(row, 2)) === numberAt(row, 3)

const looks: ReadonlyArray<Look> = [
  {
    columns: "tenant, client_id, slot, will",
    table: "session",
    isSound: (row) => isInSlot(row) && isReadable(bytesAt(row, 4), readWill),
    says: (broken) => `${broken} of the sessions cannot be read`
  },
  {
    columns: "body",
    table: "message",
    isSound: (row) => isReadable(bytesAt(row, 1), readMessage),
    says: (broken) => `${broken} of the queued messages cannot be read`
  },
  {
    columns: "tenant, topic, slot, body",
    table: "retained",
    isSound: (row) => isInSlot(row) && isReadable(bytesAt(row, 4), readMessage),
    says: (broken) => `${broken} of the retained messages cannot be read`
  }
]

const unreadableRows = (database: Database): Effect.Effect<ReadonlyArray<Problem>, SqlError> =>
  Effect.map(
    Effect.forEach(looks, (look) =>
      Effect.map(countUnsound(database, look), (broken) =>
        broken === 0 ? [] : [{ what: look.says(broken), wayOut: restoreBackup }]
      )
    ),
    (problems) => problems.flat()
  )

const countUnsound = (
  database: Database,
  { columns, isSound, table }: Look
): Effect.Effect<number, SqlError> =>
  Effect.gen(function* () {
    let unsound = 0
    for (let after = Number.MIN_SAFE_INTEGER; ; ) {
      const rows = yield* database.rows(
        `SELECT id, ${columns} FROM ${table} WHERE id > ? ORDER BY id LIMIT ${pageRows}`,
        [after]
      )
      for (const row of rows) {
        after = numberAt(row, 0)
        if (!isSound(row)) unsound++
      }
      if (rows.length < pageRows) return unsound
    }
  })
