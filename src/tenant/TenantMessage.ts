/** What a tenant finds in its mailbox. */

import type { Identity } from "../auth/Authenticator.ts"
import type { ReasonCode } from "../protocol/ReasonCode.ts"
import type { Ending } from "../session/Link.ts"
import type { Session } from "../session/Session.ts"
import type { Attach } from "../session/SessionMessage.ts"
import type { Inquiry, SessionView } from "../session/view.ts"
import type { Tap } from "../telemetry/follow/Tap.ts"

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
  | {
      readonly _tag: "Purge"
      readonly clientId: string
      /** Whether its will goes out, as of any session that ends. */
      readonly withWill: boolean
    }
  /** Closes the connection of a client, or those of all, of whoever `covers` says. */
  | {
      readonly _tag: "Close"
      readonly clientId: string | undefined
      readonly covers: (identity: Identity) => boolean
      readonly ending: Ending
    }
  /** Asks a session how it is; it answers behind all that it was told before, or not when there is none. */
  | {
      readonly _tag: "Inspect"
      readonly clientId: string
      readonly inquiry: Inquiry
      readonly reply: (view: SessionView | undefined) => void
    }
  /** Somebody follows a client, which may be connected. */
  | { readonly _tag: "Follow"; readonly clientId: string; readonly tap: Tap }
