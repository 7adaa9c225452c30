/**
 * What must hold between the tables beyond what SQLite itself sees to: each rule counts the rows that break
 * it. What a session that has ended left behind is no fault as long as it stands in `garbage`.
 */

export interface Rule {
  /** Gives one number: how often the rule is broken. */
  readonly query: string
  readonly says: (broken: number) => string
  readonly wayOut: string
}

export const restoreBackup = "restore a backup with `heddle restore FILE`"
const deadWeight = "nobody is harmed, but their room is lost until you restore a backup"
const lost = "they cannot be delivered; restore a backup that has them, with `heddle restore FILE`"

const rows = (broken: number, one: string, many: string): string =>
  broken === 1 ? `1 ${one}` : `${broken.toLocaleString("en")} ${many}`

/** Rows of a table that are of no session, neither of one that is there nor of one that has ended. */
const withoutSession = (table: string): string =>
  `SELECT count(*) FROM ${table} AS t WHERE NOT EXISTS (SELECT 1 FROM session WHERE id = t.session)` +
  " AND NOT EXISTS (SELECT 1 FROM garbage WHERE session = t.session)"

const isNotJson = (column: string, type: "object" | "array"): string =>
  `CASE WHEN json_valid(${column}) THEN json_type(${column}) <> '${type}' ELSE 1 END`

export const rules: ReadonlyArray<Rule> = [
  {
    query: "SELECT count(*) <> 1 FROM meta",
    says: () => "the sequence number of the last applied change is missing",
    wayOut: restoreBackup
  },
  {
    query:
      "SELECT count(*) FROM meta WHERE applied < 0" +
      " OR next_session <= (SELECT max(0, coalesce(max(id), 0)) FROM session)" +
      " OR next_session <= (SELECT coalesce(max(session), 0) FROM garbage)" +
      " OR next_message <= (SELECT coalesce(max(id), 0) FROM message)",
    says: () => "the next session or message would get the identifier of one that is there",
    wayOut: restoreBackup
  },
  {
    query: withoutSession("delivery"),
    says: (broken) => `${rows(broken, "queued message is", "queued messages are")} of no session`,
    wayOut: deadWeight
  },
  {
    query: withoutSession("subscription"),
    says: (broken) => `${rows(broken, "subscription is", "subscriptions are")} of no session`,
    wayOut: deadWeight
  },
  {
    query: withoutSession("inbound"),
    says: (broken) =>
      `${rows(broken, "received packet identifier is", "received packet identifiers are")} of no session`,
    wayOut: deadWeight
  },
  {
    query: "SELECT count(*) FROM progress AS p WHERE NOT EXISTS (SELECT 1 FROM session WHERE id = p.session)",
    says: (broken) => `${rows(broken, "queue is", "queues are")} of no session`,
    wayOut: deadWeight
  },
  {
    query: "SELECT count(*) FROM garbage AS g JOIN session AS s ON s.id = g.session",
    says: (broken) => `${rows(broken, "session is", "sessions are")} both there and to be swept`,
    wayOut: restoreBackup
  },
  {
    query:
      "SELECT count(*) FROM session AS s WHERE NOT EXISTS (SELECT 1 FROM progress WHERE session = s.id)" +
      " AND EXISTS (SELECT 1 FROM delivery WHERE session = s.id)",
    says: (broken) => `${rows(broken, "session has", "sessions have")} lost where its queue begins`,
    wayOut: restoreBackup
  },
  {
    query: "SELECT count(*) FROM progress WHERE head < 0 OR head > next_position",
    says: (broken) => `${rows(broken, "queue begins", "queues begin")} behind its end`,
    wayOut: restoreBackup
  },
  {
    query:
      "SELECT count(*) FROM delivery AS d JOIN progress AS p ON p.session = d.session" +
      " WHERE d.position < 0 OR d.position >= p.next_position",
    says: (broken) => `${rows(broken, "queued message stands", "queued messages stand")} outside its queue`,
    wayOut: restoreBackup
  },
  {
    query: "SELECT count(*) FROM delivery AS d WHERE NOT EXISTS (SELECT 1 FROM message WHERE id = d.message)",
    says: (broken) => `${rows(broken, "queued message has", "queued messages have")} no body`,
    wayOut: lost
  },
  {
    query:
      "SELECT count(*) FROM (SELECT message, count(*) AS held FROM delivery GROUP BY message) AS h" +
      " JOIN message AS m ON m.id = h.message WHERE m.refs < h.held",
    says: (broken) => `${rows(broken, "message is", "messages are")} in more queues than it counts`,
    wayOut: `some of those queues will lose it; ${restoreBackup}`
  },
  {
    query:
      "SELECT count(*) FROM session WHERE is_connected NOT IN (0, 1) OR will_due < 0 OR ends_at < 0" +
      " OR (will IS NULL AND will_due <> 0) OR (is_connected = 1 AND (will_due <> 0 OR ends_at <> 0))",
    says: (broken) => `${rows(broken, "session has", "sessions have")} instants that cannot be`,
    wayOut: `its will or its end may come at a wrong time; ${restoreBackup}`
  },
  {
    query:
      "SELECT count(*) FROM subscription" +
      " WHERE options NOT BETWEEN 0 AND 63 OR options & 3 = 3 OR options >> 4 = 3",
    says: (broken) => `${rows(broken, "subscription has", "subscriptions have")} options that cannot be`,
    wayOut: restoreBackup
  },
  {
    query:
      "SELECT count(*) FROM tenant WHERE state NOT IN ('active', 'suspended', 'draining', 'deleting')" +
      ` OR ${isNotJson("settings", "object")}`,
    says: (broken) => `${rows(broken, "tenant has", "tenants have")} a state or settings that cannot be`,
    wayOut: `nobody of them gets in; ${restoreBackup}`
  },
  {
    query:
      "SELECT count(*) FROM user WHERE is_disabled NOT IN (0, 1)" +
      ` OR (rules IS NOT NULL AND ${isNotJson("rules", "array")})` +
      " OR NOT (password GLOB '$argon2id$*' OR password GLOB '$7$*' OR password GLOB 'SCRAM-SHA-256$*')",
    says: (broken) => `${rows(broken, "user has", "users have")} a password or rules that cannot be`,
    wayOut: `they do not get in; ${restoreBackup}`
  },
  {
    query: `SELECT count(*) FROM ban WHERE ${isNotJson("subject", "array")}`,
    says: (broken) => `${rows(broken, "ban is", "bans are")} on nothing known`,
    wayOut: restoreBackup
  }
]

/** Bodies that will stay for ever, because they count more queues than have them. */
export const leakedQuery =
  "SELECT count(*) FROM message AS m LEFT JOIN" +
  " (SELECT message, count(*) AS held FROM delivery GROUP BY message) AS h ON h.message = m.id" +
  " WHERE m.refs > coalesce(h.held, 0)"
