/** What the commands that look after the database print. */

import type { Backup } from "../storage/sqlite/maintenance/backup.ts"
import type { Checkup, Summary } from "../storage/sqlite/maintenance/check.ts"
import type { Contents, Sweepable } from "../storage/sqlite/maintenance/contents.ts"
import type { Restored } from "../storage/sqlite/maintenance/restore.ts"
import type { Stats } from "../storage/sqlite/maintenance/stats.ts"

export const backupText = (file: string, { bytes, contents, durationMs }: Backup): string =>
  `${file}: ${contentsText(contents)}; ${size(bytes)} in ${(durationMs / 1000).toFixed(1)} s`

export const restoredText = (database: string, backup: string, { contents, kept }: Restored): string =>
  [
    `${database} is now ${backup}: ${contentsText(contents)}`,
    kept === undefined ? "There was no database before." : `The database before is kept as ${kept}`,
    ...staleText(contents)
  ].join("\n")

/** What the next start of a broker does with sessions that were connected. */
const staleText = ({ armedWills, connected }: Contents): ReadonlyArray<string> =>
  connected === 0
    ? []
    : [
        `When the backup was made, ${amount(connected, "client was", "clients were")} connected. When the` +
          " broker starts, those connections count as lost: it publishes " +
          (armedWills === 0 ? "no wills, for they had none." : `${amount(armedWills, "will", "wills")}.`)
      ]

export const checkText = (database: string, { problems, schemaVersion, summary }: Checkup): string =>
  [
    `${database}, schema version ${schemaVersion}`,
    ...(summary === undefined ? [] : [table(summaryRows(summary))]),
    ...problems.map(({ what, wayOut }) => `problem: ${what}: ${wayOut}`),
    ...(problems.length === 0 ? ["no problems found"] : [])
  ].join("\n")

const summaryRows = (summary: Summary): ReadonlyArray<TableRow> => [
  ["last applied change", count(summary.applied)],
  ...contentsRows(summary),
  ["still to be swept", sweepableText(summary.sweepable)],
  ...(summary.leakedBodies === 0
    ? []
    : [["never to be swept", `${amount(summary.leakedBodies, "message body", "message bodies")}`] as const])
]

export const statsText = (database: string, stats: Stats): string => {
  const { administered, bodies, disk, longestQueues, tenants } = stats
  return [
    `${database}, schema version ${stats.schemaVersion}`,
    table([
      ["last applied change", count(stats.applied)],
      ...contentsRows(stats),
      ["bytes queued", size(stats.queuedBytes)],
      ["bytes retained", size(stats.retainedBytes)],
      ["message bodies", `${count(bodies.count)}, ${size(bodies.bytes)}; ${count(bodies.shared)} shared`],
      ["still to be swept", sweepableText(stats.sweepable)],
      ["tenants, made at run time", count(administered.tenants)],
      ["users", usersText(administered)],
      ["bans", count(administered.bans)],
      ["hours in the ledger", count(administered.usageRows)],
      ["file", `${size(disk.fileBytes)}, and ${size(disk.logBytes)} of log`],
      ["pages", `${count(disk.pages)} of ${size(disk.pageBytes)}, ${count(disk.freePages)} free`]
    ]),
    ...titled(
      "Tenants with the most sessions",
      tenants.map(({ connected, sessions, tenant }) => [
        ...[printable(tenant), amount(sessions, "session", "sessions")],
        `${count(connected)} connected`
      ])
    ),
    ...titled(
      "Longest queues",
      longestQueues.map(({ bytes, clientId, messages, tenant }) => [
        `${printable(tenant)} ${printable(clientId)}`,
        amount(messages, "message", "messages"),
        size(bytes)
      ])
    )
  ].join("\n")
}

const usersText = ({ disabledUsers, users }: Stats["administered"]): string =>
  disabledUsers === 0 ? count(users) : `${count(users)}, ${count(disabledUsers)} of them disabled`

const titled = (title: string, rows: ReadonlyArray<TableRow>): ReadonlyArray<string> =>
  rows.length === 0 ? [] : ["", title, table(rows)]

type TableRow = ReadonlyArray<string>

/** Columns as wide as their widest cell. */
const table = (rows: ReadonlyArray<TableRow>): string => {
  const widths: Array<number> = []
  for (const row of rows) {
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, Bun.stringWidth(cell))
    })
  }
  const padded = (cell: string, column: number) =>
    cell + " ".repeat((widths[column] ?? 0) - Bun.stringWidth(cell))
  return rows.map((row) => `  ${row.map(padded).join("  ")}`.trimEnd()).join("\n")
}

const contentsRows = (contents: Contents): ReadonlyArray<TableRow> => [
  [
    "sessions",
    `${count(contents.sessions)}: ${count(contents.connected)} connected, ` +
      `${count(contents.sessions - contents.connected)} waiting`
  ],
  ["subscriptions", count(contents.subscriptions)],
  ["queued messages", count(contents.queuedMessages)],
  ["retained messages", count(contents.retainedMessages)]
]

const contentsText = (contents: Contents): string =>
  [
    amount(contents.sessions, "session", "sessions"),
    amount(contents.subscriptions, "subscription", "subscriptions"),
    amount(contents.queuedMessages, "queued message", "queued messages"),
    amount(contents.retainedMessages, "retained message", "retained messages")
  ].join(", ")

const sweepableText = ({ deliveries, endedSessions, inbound, subscriptions }: Sweepable): string => {
  const found = [
    [endedSessions, "ended session", "ended sessions"],
    [deliveries, "queued message", "queued messages"],
    [subscriptions, "subscription", "subscriptions"],
    [inbound, "packet identifier", "packet identifiers"]
  ] as const
  const present = found.filter(([value]) => value > 0)
  return present.length === 0
    ? "nothing"
    : present.map(([value, one, many]) => amount(value, one, many)).join(", ")
}

const count = (value: number): string => value.toLocaleString("en")

const amount = (value: number, one: string, many: string): string =>
  `${count(value)} ${value === 1 ? one : many}`

const units = ["bytes", "KB", "MB", "GB", "TB"]

const size = (bytes: number): string => {
  let value = bytes
  let unit = 0
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024
  const digits = unit === 0 || Number.isInteger(value) ? 0 : 1
  return `${value.toFixed(digits)} ${units[unit]}`
}

/** Names are chosen by clients: what a terminal would obey is escaped. */
const printable = (name: string): string =>
  name === ""
    ? '""'
    : name.replaceAll(/[\p{C}\s]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`)
