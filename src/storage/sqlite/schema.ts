/**
 * The tables, as a list of migrations: forward only, each in a transaction. One that was ever released is
 * never changed; `schemaVersion` is the number of the last.
 *
 * What is written most stands apart and narrow: a message is appended to `message`, the queues that it is in
 * have a row of a few numbers in `delivery`, and how far a queue has come is a row in `progress`. (Messages
 * inside the rows of the queues: 80,000 rows/s in batches of 5,000 over 1,000 queues, this way 230,000; Bun
 * 1.4.5, x64, 2026-11.) Nothing that is done with is deleted at once: a session that has ended goes to
 * `garbage`, and rows below `progress.head` stay until somebody has time for them.
 */

import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"

export interface Migration {
  readonly id: number
  readonly name: string
  readonly statements: ReadonlyArray<string>
}

const initial: Migration = {
  id: 1,
  name: "initial",
  statements: [
    // applied: sequence number of the last frame. Identifiers are never given twice.
    `CREATE TABLE meta (
       id INTEGER PRIMARY KEY CHECK (id = 1),
       applied INTEGER NOT NULL,
       next_session INTEGER NOT NULL,
       next_message INTEGER NOT NULL
     ) STRICT`,
    "INSERT INTO meta VALUES (1, 0, 1, 1)",
    // since: epoch of the connection that began it. sent_before: NULL when any may have been sent.
    `CREATE TABLE session (
       id INTEGER PRIMARY KEY,
       tenant TEXT NOT NULL,
       client_id TEXT NOT NULL,
       slot INTEGER NOT NULL,
       epoch INTEGER NOT NULL,
       since INTEGER NOT NULL,
       principal TEXT NOT NULL,
       expiry_interval INTEGER NOT NULL,
       will BLOB,
       is_connected INTEGER NOT NULL,
       ends_at INTEGER NOT NULL,
       will_due INTEGER NOT NULL,
       sent_before INTEGER
     ) STRICT`,
    "CREATE UNIQUE INDEX session_key ON session (tenant, client_id)",
    `CREATE TABLE progress (
       session INTEGER PRIMARY KEY,
       head INTEGER NOT NULL,
       next_position INTEGER NOT NULL
     ) STRICT`,
    `CREATE TABLE subscription (
       session INTEGER NOT NULL,
       topic_filter TEXT NOT NULL,
       options INTEGER NOT NULL,
       identifier INTEGER NOT NULL,
       PRIMARY KEY (session, topic_filter)
     ) STRICT, WITHOUT ROWID`,
    `CREATE TABLE inbound (
       session INTEGER NOT NULL,
       packet_id INTEGER NOT NULL,
       PRIMARY KEY (session, packet_id)
     ) STRICT, WITHOUT ROWID`,
    // refs: rows of delivery that have it.
    `CREATE TABLE message (
       id INTEGER PRIMARY KEY,
       refs INTEGER NOT NULL,
       body BLOB NOT NULL
     ) STRICT`,
    // flags: as in the frame. bytes: of payload, properties and topic. extra: NULL for most.
    `CREATE TABLE delivery (
       session INTEGER NOT NULL,
       position INTEGER NOT NULL,
       flags INTEGER NOT NULL,
       bytes INTEGER NOT NULL,
       expires_at INTEGER NOT NULL,
       message INTEGER NOT NULL,
       extra BLOB,
       PRIMARY KEY (session, position)
     ) STRICT, WITHOUT ROWID`,
    "CREATE INDEX delivery_expiry ON delivery (expires_at) WHERE expires_at > 0",
    `CREATE TABLE retained (
       id INTEGER PRIMARY KEY,
       tenant TEXT NOT NULL,
       topic TEXT NOT NULL,
       slot INTEGER NOT NULL,
       expires_at INTEGER NOT NULL,
       body BLOB NOT NULL
     ) STRICT`,
    "CREATE UNIQUE INDEX retained_key ON retained (tenant, topic)",
    "CREATE TABLE garbage (session INTEGER PRIMARY KEY) STRICT"
  ]
}

const administration: Migration = {
  id: 2,
  name: "administration",
  statements: [
    // settings, rules: JSON. Instants and hours: milliseconds since the epoch.
    `CREATE TABLE tenant (
       name TEXT PRIMARY KEY,
       state TEXT NOT NULL,
       settings TEXT NOT NULL,
       created_at INTEGER NOT NULL,
       changed_at INTEGER NOT NULL
     ) STRICT, WITHOUT ROWID`,
    `CREATE TABLE user (
       name TEXT PRIMARY KEY,
       tenant TEXT NOT NULL,
       password TEXT NOT NULL,
       rules TEXT,
       is_disabled INTEGER NOT NULL,
       created_at INTEGER NOT NULL,
       changed_at INTEGER NOT NULL
     ) STRICT, WITHOUT ROWID`,
    "CREATE INDEX user_tenant ON user (tenant, name)",
    // Totals of a writer in an hour.
    `CREATE TABLE usage (
       hour INTEGER NOT NULL,
       tenant TEXT NOT NULL,
       writer TEXT NOT NULL,
       messages_in INTEGER NOT NULL,
       bytes_in INTEGER NOT NULL,
       messages_out INTEGER NOT NULL,
       bytes_out INTEGER NOT NULL,
       connects INTEGER NOT NULL,
       connection_ms INTEGER NOT NULL,
       connections_peak INTEGER NOT NULL,
       sessions_peak INTEGER NOT NULL,
       stored_bytes_peak INTEGER NOT NULL,
       retained_messages_peak INTEGER NOT NULL,
       PRIMARY KEY (hour, tenant, writer)
     ) STRICT, WITHOUT ROWID`,
    "CREATE INDEX usage_tenant ON usage (tenant, hour, writer)",
    // tenant: NULL when the subject is of none. ends_at: NULL never.
    `CREATE TABLE ban (
       subject TEXT PRIMARY KEY,
       tenant TEXT,
       reason TEXT NOT NULL,
       ends_at INTEGER
     ) STRICT, WITHOUT ROWID`,
    "CREATE INDEX ban_tenant ON ban (tenant)"
  ]
}

export const migrations: ReadonlyArray<Migration> = [initial, administration]

/** What this version of the program writes. */
export const schemaVersion = 2

export const applyMigration = ({
  statements
}: Migration): Effect.Effect<void, SqlError, SqlClient.SqlClient> =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.forEach(statements, (statement) => sql.unsafe(statement), { discard: true })
  )
