/**
 * Permissions of a tenant's clients have changed: each session's are asked for again, some at a time, and the
 * session judges by them what it holds.
 *
 * Changes that come while it is at it make one more round. A client in the middle of its handshake may have
 * been asked about before the change: it brings the revision that it was asked at, and is asked about again.
 */

import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { ForkChild } from "../actor/Actor.ts"
import type { Identity } from "../auth/Authenticator.ts"
import { allowAll, type Permissions } from "../auth/Authorizer.ts"
import type { Session } from "../session/Session.ts"
import type { Attach } from "../session/SessionMessage.ts"
import type { SessionServices } from "../session/SessionServices.ts"

/** Sessions that are asked about at a time. */
const CONCURRENCY = 32

export interface ReauthorizationOptions {
  readonly sessions: () => Iterable<Session>
  readonly permissions: SessionServices["permissions"]
  readonly fork: ForkChild
}

export class Reauthorization {
  /** Counts the changes. */
  revision = 0
  private isAtWork = false
  private isWanted = false

  constructor(private readonly options: ReauthorizationOptions) {}

  /** Everybody is judged again. */
  request(): void {
    this.revision++
    this.isWanted = true
    if (this.isAtWork) return
    this.isAtWork = true
    this.options.fork(this.rounds)
  }

  /** A client has been sent to its session. */
  admitted(session: Session, { identity, permissionsRevision = this.revision }: Attach): void {
    if (permissionsRevision !== this.revision) this.options.fork(this.judge(session, identity))
  }

  /** A session has been restored; permissions may be others than when the broker was stopped. */
  restored(session: Session): void {
    const { identity } = session
    const asked = this.options.permissions(identity)
    if (!Exit.isExit(asked)) this.options.fork(this.judge(session, identity, asked))
    else if (Exit.isSuccess(asked) && asked.value !== allowAll)
      tell(session, identity, asked.value as Permissions)
  }

  private readonly rounds: Effect.Effect<void> = Effect.gen(this, function* () {
    while (this.isWanted) {
      this.isWanted = false
      yield* Effect.forEach(
        [...this.options.sessions()],
        (session) => this.judge(session, session.identity),
        { concurrency: CONCURRENCY, discard: true }
      )
    }
    this.isAtWork = false
  })

  private judge(
    session: Session,
    identity: Identity,
    asked = Effect.suspend(() => this.options.permissions(identity))
  ): Effect.Effect<void> {
    return Effect.map(Effect.exit(asked), (exit) =>
      tell(session, identity, Exit.isSuccess(exit) ? exit.value : undefined)
    )
  }
}

const tell = (session: Session, identity: Identity, permissions: Permissions | undefined): void =>
  session.signal({ _tag: "Permitted", identity, permissions })
