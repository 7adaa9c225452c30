/** What a database holds, in a few numbers. */

import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { type Database, numberAt } from "../Database.ts"

export interface Contents {
  readonly sessions: number
  /** Of them, those whose client is connected; after a crash, or in a backup: was. */
  readonly connected: number
  /** Of these, those with a will: it is published when a broker starts and finds no connection. */
  readonly armedWills: number
  readonly subscriptions: number
  readonly queuedMessages: number
  readonly retainedMessages: number
}

/** What is said of tenants and users, and what they have used. */
export interface Administered {
  readonly tenants: number
  readonly users: number
  readonly disabledUsers: number
  readonly bans: number
  /** Rows of the ledger. */
  readonly usageRows: number
}

/** Rows that are done with: the broker gives their room back when it has time. */
export interface Sweepable {
  /** Sessions that have ended and left something behind. */
  readonly endedSessions: number
  readonly deliveries: number
  readonly subscriptions: number
  readonly inbound: number
}

const ofEnded = (table: string): string =>
  `SELECT count(*) FROM ${table} AS t JOIN garbage AS g ON g.session = t.session`

/** The columns in the order of the fields. Needs no table or column that the first schema did not have. */
const contentsQuery = `SELECT
  (SELECT count(*) FROM session),
  (SELECT count(*) FROM session WHERE is_connected = 1),
  (SELECT count(*) FROM session WHERE is_connected = 1 AND will IS NOT NULL),
  (SELECT count(*) FROM subscription AS t JOIN session AS s ON s.id = t.session),
  (SELECT count(*) FROM delivery AS d JOIN progress AS p ON p.session = d.session
    WHERE d.position >= p.head),
  (SELECT count(*) FROM retained)`

export const readContents = (database: Database): Effect.Effect<Contents, SqlError> =>
  Effect.map(database.rows(contentsQuery), ([row = []]) => ({
    sessions: numberAt(row, 0),
    connected: numberAt(row, 1),
    armedWills: numberAt(row, 2),
    subscriptions: numberAt(row, 3),
    queuedMessages: numberAt(row, 4),
    retainedMessages: numberAt(row, 5)
  }))

const administeredQuery = `SELECT
  (SELECT count(*) FROM tenant),
  (SELECT count(*) FROM user),
  (SELECT count(*) FROM user WHERE is_disabled <> 0),
  (SELECT count(*) FROM ban),
  (SELECT count(*) FROM usage)`

export const readAdministered = (database: Database): Effect.Effect<Administered, SqlError> =>
  Effect.map(database.rows(administeredQuery), ([row = []]) => ({
    tenants: numberAt(row, 0),
    users: numberAt(row, 1),
    disabledUsers: numberAt(row, 2),
    bans: numberAt(row, 3),
    usageRows: numberAt(row, 4)
  }))

const sweepableQuery = `SELECT
  (SELECT count(*) FROM garbage),
  (SELECT count(*) FROM delivery AS d JOIN progress AS p ON p.session = d.session
    WHERE d.position < p.head) + (${ofEnded("delivery")}),
  (${ofEnded("subscription")}),
  (${ofEnded("inbound")})`

export const readSweepable = (database: Database): Effect.Effect<Sweepable, SqlError> =>
  Effect.map(database.rows(sweepableQuery), ([row = []]) => ({
    endedSessions: numberAt(row, 0),
    deliveries: numberAt(row, 1),
    subscriptions: numberAt(row, 2),
    inbound: numberAt(row, 3)
  }))
