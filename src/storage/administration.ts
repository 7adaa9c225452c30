/**
 * The stores of tenants, users, usage and bans in this process, and `TenantContents` over whatever journal
 * and stores there are: for compositions whose own storage keeps sessions and retained messages only.
 */

import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { AdministrationState } from "./AdministrationState.ts"
import { BanStore } from "./BanStore.ts"
import type { DurableRecord } from "./DurableRecord.ts"
import type { StoredSession } from "./DurableState.ts"
import { Journal } from "./Journal.ts"
import { RetainedStore } from "./RetainedStore.ts"
import { SessionStore } from "./SessionStore.ts"
import type { StorageError } from "./StorageError.ts"
import { addContents, type ContentCounts, noContents, TenantContents } from "./TenantContents.ts"
import { TenantStore } from "./TenantStore.ts"
import { UsageStore } from "./UsageStore.ts"
import { UserStore } from "./UserStore.ts"

export type AdministrationStores = TenantStore | UserStore | UsageStore | BanStore | TenantContents

/** Forgotten with the process, unless the state is kept. */
export const layerAdministrationMemory = (
  state: AdministrationState = new AdministrationState()
): Layer.Layer<AdministrationStores, never, Journal | SessionStore | RetainedStore> =>
  Layer.effectContext(
    Effect.gen(function* () {
      const journal = yield* Journal
      const { sessions } = yield* SessionStore
      const { messages } = yield* RetainedStore
      return Context.make(TenantStore, tenantStoreOf(state)).pipe(
        Context.add(UserStore, userStoreOf(state)),
        Context.add(UsageStore, usageStoreOf(state)),
        Context.add(BanStore, banStoreOf(state)),
        Context.add(TenantContents, contentsOf(state, { journal, sessions, messages }))
      )
    })
  )

const tenantStoreOf = (state: AdministrationState): TenantStore["Type"] => ({
  all: Stream.suspend(() => Stream.fromIterable(state.tenants())),
  find: (tenant) => Effect.sync(() => state.tenant(tenant)),
  put: (tenant) => Effect.sync(() => state.putTenant(tenant)),
  remove: (tenant) => Effect.sync(() => state.removeTenant(tenant))
})

const userStoreOf = (state: AdministrationState): UserStore["Type"] => ({
  find: (username) => Effect.sync(() => state.user(username)),
  list: (listing) => Effect.sync(() => state.users(listing)),
  add: (user) =>
    Effect.sync(() => {
      if (state.user(user.username) !== undefined) return false
      state.putUser(user)
      return true
    }),
  replace: (user) =>
    Effect.sync(() => {
      if (state.user(user.username)?.tenant !== user.tenant) return false
      state.putUser(user)
      return true
    }),
  remove: (username) => Effect.sync(() => state.removeUser(username)),
  revision: () => state.usersRevision
})

const usageStoreOf = (state: AdministrationState): UsageStore["Type"] => ({
  write: (rows) => Effect.sync(() => state.writeUsage(rows)),
  read: (span) => Stream.suspend(() => Stream.fromIterable(state.readUsage(span))),
  prune: (beforeMs) => Effect.sync(() => state.removeUsage(({ hourMs }) => hourMs < beforeMs))
})

const banStoreOf = (state: AdministrationState): BanStore["Type"] => ({
  all: Effect.sync(() => state.bans()),
  put: (ban) => Effect.sync(() => state.putBan(ban)),
  remove: (subject) => Effect.sync(() => state.removeBan(subject))
})

interface Records {
  readonly journal: Journal["Type"]
  readonly sessions: SessionStore["Type"]["sessions"]
  readonly messages: RetainedStore["Type"]["messages"]
}

/** Records of a unit that removes. */
const unitRecords = 500

/** What the journal wrote is taken back by the journal: sessions end, retained messages become empty. */
const contentsOf = (
  state: AdministrationState,
  { journal, messages, sessions }: Records
): TenantContents["Type"] => {
  const sessionsOf = (tenant: string) => Stream.filter(sessions, (session) => session.tenant === tenant)
  const retainedOf = (tenant: string) => Stream.filter(messages, (retained) => retained.tenant === tenant)
  const countRows = (tenant: string) => ({
    users: state.users({ tenant, after: "", limit: Number.POSITIVE_INFINITY }).length,
    usageRows: state.readUsage({ tenant, fromMs: Number.NEGATIVE_INFINITY, untilMs: Infinity }).length
  })
  const count = (tenant: string): Effect.Effect<ContentCounts, StorageError> =>
    Effect.gen(function* () {
      const counted = yield* Stream.runFold(sessionsOf(tenant), noContents, (sum, session) =>
        addContents(sum, countsOf(session))
      )
      const retainedMessages = yield* Stream.runCount(retainedOf(tenant))
      return { ...counted, retainedMessages, ...countRows(tenant) }
    })
  const removed = (records: Stream.Stream<DurableRecord, StorageError>) =>
    records.pipe(
      Stream.grouped(unitRecords),
      Stream.runForEach((unit) => committed(journal, Chunk.toReadonlyArray(unit)))
    )
  return {
    count,
    purge: (tenant, { withUsage }) =>
      Effect.gen(function* () {
        const counts = yield* count(tenant)
        yield* removed(Stream.map(sessionsOf(tenant), endOf))
        yield* removed(
          Stream.map(retainedOf(tenant), ({ message }) => ({
            _tag: "Retain",
            tenant,
            message: { ...message, payload: new Uint8Array(0) }
          }))
        )
        for (const { username } of state.users({ tenant, after: "", limit: Infinity })) {
          state.removeUser(username)
        }
        state.removeBansOf(tenant)
        const usageRows = withUsage ? state.removeUsage((row) => row.tenant === tenant) : 0
        return { ...counts, usageRows }
      })
  }
}

const countsOf = ({ inbound, queue, subscriptions, will }: StoredSession): ContentCounts => ({
  ...noContents,
  sessions: 1,
  wills: will === undefined ? 0 : 1,
  subscriptions: subscriptions.size,
  queuedMessages: queue.positions.length,
  inbound: inbound.size
})

const endOf = ({ clientId, epoch, tenant }: StoredSession): DurableRecord => ({
  _tag: "End",
  tenant,
  clientId,
  epoch
})

const committed = (
  journal: Journal["Type"],
  records: ReadonlyArray<DurableRecord>
): Effect.Effect<void, StorageError> =>
  Effect.async((resume) =>
    journal.append({
      records,
      level: "disk",
      mayWait: false,
      isRefusable: true,
      committed: (outcome) =>
        resume(Option.match(Option.fromNullable(outcome), { onNone: () => Effect.void, onSome: Effect.fail }))
    })
  )
