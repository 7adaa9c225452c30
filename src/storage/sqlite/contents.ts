/** What a tenant holds in the database: counted a page of sessions at a time, and purged step by step. */

import * as Effect from "effect/Effect"
import type { SessionStore } from "../SessionStore.ts"
import { StorageError } from "../StorageError.ts"
import { addContents, type ContentCounts, noContents, type TenantContents } from "../TenantContents.ts"
import type { AdministrationQueue } from "./AdministrationQueue.ts"
import type { UserRevision } from "./administration.ts"
import { numberAt, type Row, textAt } from "./Database.ts"

const sessionsPerPage = 100

const sessionsQuery = `SELECT s.client_id, s.will IS NOT NULL,
  (SELECT count(*) FROM subscription WHERE session = s.id),
  (SELECT count(*) FROM delivery WHERE session = s.id AND position >= coalesce(p.head, 0)),
  (SELECT count(*) FROM inbound WHERE session = s.id)
  FROM session AS s LEFT JOIN progress AS p ON p.session = s.id
  WHERE s.tenant = ? AND s.client_id > ? ORDER BY s.client_id LIMIT ${sessionsPerPage}`

const restQuery = `SELECT (SELECT count(*) FROM retained WHERE tenant = ?1),
  (SELECT count(*) FROM user WHERE tenant = ?1), (SELECT count(*) FROM usage WHERE tenant = ?1)`

export interface ContentsParts {
  readonly queue: AdministrationQueue
  readonly readQueue: SessionStore["Type"]["queue"]
  readonly users: UserRevision
}

export const tenantContentsOf = ({ queue, readQueue, users }: ContentsParts): TenantContents["Type"] => {
  const countSessions = (tenant: string, after: string): Effect.Effect<ContentCounts, StorageError> =>
    Effect.gen(function* () {
      const rows = yield* queue.rows("read", sessionsQuery, [tenant, after])
      const page = rows.map(countsOf).reduce(addContents, noContents)
      const last = rows.at(-1)
      if (rows.length < sessionsPerPage || last === undefined) return page
      return addContents(page, yield* countSessions(tenant, textAt(last, 0)))
    })
  /** Everything that was appended before is in the tables: what is read of a queue has seen it. */
  const settled = (tenant: string): Effect.Effect<void, StorageError> =>
    Effect.async((resume) =>
      readQueue({ tenant, clientId: "", from: 0, messagesMax: 1, bytesMax: 1 }, (answer) =>
        resume(answer instanceof StorageError ? Effect.fail(answer) : Effect.void)
      )
    )
  return {
    count: (tenant) =>
      Effect.gen(function* () {
        yield* settled(tenant)
        const ofSessions = yield* countSessions(tenant, "")
        const [rest = []] = yield* queue.rows("read", restQuery, [tenant])
        const [retainedMessages, users, usageRows] = [0, 1, 2].map((at) => numberAt(rest, at))
        return { ...ofSessions, retainedMessages: retainedMessages!, users: users!, usageRows: usageRows! }
      }),
    purge: (tenant, { withUsage }) =>
      Effect.gen(function* () {
        yield* settled(tenant)
        let removed = noContents
        for (;;) {
          const step = yield* queue.purge(tenant, withUsage)
          removed = addContents(removed, step.removed)
          if (step.isDone) return removed
        }
      }).pipe((purge) => users.counted(purge))
  }
}

const countsOf = (row: Row): ContentCounts => ({
  ...noContents,
  sessions: 1,
  wills: numberAt(row, 1),
  subscriptions: numberAt(row, 2),
  queuedMessages: numberAt(row, 3),
  inbound: numberAt(row, 4)
})
