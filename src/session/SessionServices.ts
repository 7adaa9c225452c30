/**
 * What a session's tenant does for it: time, the services that may suspend, events, and the end of the
 * session.
 */

import type * as Effect from "effect/Effect"
import type { AuthenticationStep, Identity } from "../auth/Authenticator.ts"
import type { AuthorizationUnavailable, Decision, Permissions } from "../auth/Authorizer.ts"
import type { Event } from "../events/Event.ts"
import type { DurabilityLevel, Journal } from "../storage/Journal.ts"
import type { SessionStore } from "../storage/SessionStore.ts"
import type { Tracing } from "../telemetry/tracing/Tracing.ts"
import type { Answer } from "../tenant/policy/Verdict.ts"
import type { AuthRequest } from "./reauthentication.ts"
import type { Session } from "./Session.ts"

export interface SessionServices {
  /** The instant of the current tick. */
  readonly nowMs: () => number
  readonly report: (event: Event) => void
  /** Undefined while nothing is traced. */
  readonly tracing: Tracing | undefined
  readonly journal: Journal["Type"]
  /** What an acknowledgement to a client of the tenant means now. */
  readonly durability: () => DurabilityLevel
  readonly readQueue: SessionStore["Type"]["queue"]
  /** Runs decisions to booleans, in order; one that fails or dies means no. */
  readonly settle: (decisions: ReadonlyArray<Decision>) => Effect.Effect<ReadonlyArray<boolean>>
  /** The same where no answer is not a no, but undefined. */
  readonly answers: (decisions: ReadonlyArray<Decision>) => Effect.Effect<ReadonlyArray<boolean | undefined>>
  /** Settles one decision for somebody who may be gone by then; at once when it does not suspend. */
  readonly decideLater: (decision: Decision, then: (allowed: boolean) => void) => void
  /** The same of what a policy has to answer. */
  readonly answerLater: <A extends { readonly _tag: string }>(
    answer: Answer<A>,
    then: (value: A) => void
  ) => void
  readonly authenticate: (identity: Identity, request: AuthRequest) => Effect.Effect<AuthenticationStep>
  readonly permissions: (identity: Identity) => Effect.Effect<Permissions, AuthorizationUnavailable>
  /** The session holds nothing any more. `attaches` tells the tenant whether a client has come meanwhile. */
  readonly ended: (session: Session, attaches: number) => void
  /** The session's actor has stopped over a defect: whatever was on its way to it is lost. */
  readonly failed: (session: Session) => void
}
