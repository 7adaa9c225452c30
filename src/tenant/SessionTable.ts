/**
 * A tenant's sessions, by client identifier: made, found, closed and taken out. The tenant decides when; here
 * it is kept that there is one session for an identifier at any time.
 */

import type { ForkChild } from "../actor/Actor.ts"
import type { DeadlineWheel } from "../actor/DeadlineWheel.ts"
import type { RunQueue } from "../actor/Dispatcher.ts"
import type { Identity } from "../auth/Authenticator.ts"
import type { Permissions } from "../auth/Authorizer.ts"
import type { Router } from "../router/Router.ts"
import type { Ending } from "../session/Link.ts"
import { Session } from "../session/Session.ts"
import type { Attach } from "../session/SessionMessage.ts"
import type { SessionServices } from "../session/SessionServices.ts"
import { SessionState } from "../session/SessionState.ts"
import type { Counters } from "../telemetry/Counters.ts"
import type { Policy } from "./policy/TenantPolicy.ts"
import type { TenantQuota } from "./quota/TenantQuota.ts"
import { deleted } from "./standing.ts"
import type { TenantMessage } from "./TenantMessage.ts"
import type { TenantSettings } from "./TenantSettings.ts"

/** What all sessions of a tenant share. */
export interface SessionTableOptions {
  readonly settings: TenantSettings
  readonly counters: Counters
  readonly quota: TenantQuota
  readonly policy: Policy | undefined
  readonly runQueue: RunQueue
  readonly wheel: DeadlineWheel
  readonly fork: ForkChild
  readonly router: Router
  readonly services: SessionServices
}

interface Entry {
  readonly session: Session
  /** Attachments sent to the session: it has ended for good only when it has seen them all. */
  attaches: number
}

export class SessionTable {
  private readonly entries = new Map<string, Entry>()
  /**
   * The highest epoch of the sessions that have gone. Those that come begin above it: what a session has left
   * behind, a will that is yet to be allowed for instance, must not be taken for its successor's.
   */
  private lastEpoch = 0

  constructor(private readonly options: SessionTableOptions) {}

  get size(): number {
    return this.entries.size
  }

  find(clientId: string): Session | undefined {
    return this.entries.get(clientId)?.session
  }

  /** Those that come while it is gone through may be among them; those that go are not. */
  *all(): Iterable<Session> {
    for (const { session } of this.entries.values()) yield session
  }

  /** A new session; there is none of that identifier. */
  add(identity: Identity, permissions: Permissions): Session {
    const { counters, policy, quota, settings, ...shared } = this.options
    const state = new SessionState(identity.clientId, settings, counters, identity, permissions)
    state.epoch = this.lastEpoch
    state.quota = quota
    state.policy = policy
    const session = new Session({ state, ...shared })
    this.entries.set(identity.clientId, { session, attaches: 0 })
    counters.sessions = this.entries.size
    if (this.entries.size > counters.sessionsPeak) counters.sessionsPeak = this.entries.size
    return session
  }

  /** Gives a client its session. */
  attach(session: Session, message: Attach): void {
    const entry = this.entries.get(session.clientId)
    if (entry?.session === session) entry.attaches++
    session.signal(message)
  }

  /** A session has ended: it is taken out unless a client has come meanwhile. */
  ended(session: Session, attaches: number): void {
    if (this.entries.get(session.clientId)?.attaches === attaches) this.remove(session)
  }

  remove(session: Session): void {
    if (this.find(session.clientId) !== session) return
    this.entries.delete(session.clientId)
    this.lastEpoch = Math.max(this.lastEpoch, session.epoch)
    this.options.counters.sessions = this.entries.size
    session.stop()
  }

  /** Closes every connection, also of those who are on their way in. */
  closeAll(ending: Ending): void {
    for (const session of this.all()) {
      if (!session.isIdle) session.signal({ _tag: "Close", ending })
    }
  }

  close({ clientId, covers, ending }: Extract<TenantMessage, { readonly _tag: "Close" }>): void {
    const named = clientId === undefined ? undefined : this.find(clientId)
    const sessions = clientId === undefined ? this.all() : named === undefined ? [] : [named]
    for (const session of sessions) {
      // One that is connected and has no mail will not change before it reads this.
      const isLeftAlone = session.isIdle || (session.isSettled && !covers(session.identity))
      if (!isLeftAlone) session.signal({ _tag: "Close", ending, covers })
    }
  }

  inspect({ clientId, inquiry, reply }: Extract<TenantMessage, { readonly _tag: "Inspect" }>): void {
    const session = this.find(clientId)
    if (session === undefined || session.hasStopped) return reply(undefined)
    session.signal({ _tag: "Inspect", inquiry, reply })
  }

  /** Nothing of them is to survive: they stop where they are, and put nothing on record any more. */
  expel(): void {
    for (const session of this.all()) session.expel(deleted)
  }

  /** The broker stops: what they keep is on record. */
  abandon(): void {
    for (const session of this.all()) session.abandon()
    this.entries.clear()
  }
}
