/** What a tenant finds in its mailbox. */

import type { ReasonCode } from "../protocol/ReasonCode.ts"
import type { Session } from "../session/Session.ts"
import type { Attach } from "../session/SessionMessage.ts"

/** Why a client that has passed its handshake gets no session. */
export interface AttachRefused {
  readonly reasonCode: ReasonCode
  readonly reason: string
}

/** A client that asks for its session. `refuse` is called instead of an attachment. */
export interface Admit {
  readonly _tag: "Admit"
  readonly attach: Attach
  readonly refuse: (refusal: AttachRefused) => void
}

export type TenantMessage =
  | Admit
  | { readonly _tag: "Ended"; readonly session: Session; readonly attaches: number }
  | { readonly _tag: "Failed"; readonly session: Session }
  | { readonly _tag: "Purge"; readonly clientId: string }
