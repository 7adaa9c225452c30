/** A CONNECT that is refused: why, what the client hears of it, and the event. */

import type * as EffectCause from "effect/Cause"
import * as Effect from "effect/Effect"
import { secretBytes, secretTexts } from "../auth/Authenticator.ts"
import { type Cause, causeOf } from "../events/Cause.ts"
import type { Event } from "../events/Event.ts"
import { LineLimit } from "../events/LineLimit.ts"
import type { Connect } from "../protocol/Packet.ts"
import { ReasonCode } from "../protocol/ReasonCode.ts"
import { loggable } from "../telemetry/redaction.ts"
import type { Wire } from "../transport/Transport.ts"
import type { Connection } from "./Connection.ts"

export interface RefusalDetails {
  /** Where the client is served instead. */
  readonly serverReference?: string | undefined
  /** Where the Reason Code does not say it. */
  readonly cause?: Cause
  /** The rule of the specification that the client broke. */
  readonly clause?: string
}

export class Refusal {
  readonly _tag = "Refusal"
  constructor(
    readonly reasonCode: ReasonCode,
    readonly reason: string,
    readonly details: RefusalDetails = {},
    /** What the client hears, where the reason is for those alone who run the broker. */
    readonly told: string = reason
  ) {}
}

export const refusal = (
  reasonCode: ReasonCode,
  reason: string,
  details?: RefusalDetails
): Effect.Effect<never, Refusal> => Effect.fail(new Refusal(reasonCode, reason, details))

type Report = (event: Event) => void

/** Says no to CONNECT and tells of it. */
export const refuse = (connection: Connection, why: Refusal, report: Report): void => {
  const { details, reasonCode, told } = why
  const { serverReference } = details
  connection.refuse(reasonCode, {
    reasonString: told,
    ...(serverReference !== undefined && { serverReference })
  })
  tellRefused(connection, why, report)
}

export const tellRefused = (
  { clientId, tenant, wire }: Partial<Pick<Connection, "clientId" | "tenant">> & Pick<Connection, "wire">,
  { details, reason, reasonCode }: Refusal,
  report: Report
): void => {
  const { address, listener, transport } = wire.peer
  report({
    _tag: "ConnectRefused",
    listener,
    transport,
    address,
    tenant,
    clientId: clientId ?? "",
    cause: causeOf(reasonCode),
    ...details,
    reasonCode,
    reason
  })
}

/** Something is wrong with us, not with the client. */
export const logFailed = (
  { tenant, wire }: Connection,
  { clientId, password, properties }: Connect,
  cause: EffectCause.Cause<unknown>
): Effect.Effect<void> => {
  const presented = [password, properties.authenticationData].map(secretBytes)
  const { address, listener } = wire.peer
  return Effect.annotateLogs(Effect.logError("a handshake failed", loggable(cause, secretTexts(presented))), {
    tenant,
    clientId,
    address,
    listener
  })
}

const TURNED_AWAY_PER_SECOND = 20

/** Tells, some times a second, of wires for which there is no room. */
export const turnedAway = (report: Report, nowMs: () => number): ((wire: Wire) => void) => {
  const limit = new LineLimit(TURNED_AWAY_PER_SECOND, nowMs())
  return (wire) => {
    if (limit.admit(nowMs()) !== undefined) tellRefused({ wire }, full, report)
  }
}

const full = new Refusal(ReasonCode.ServerBusy, "the broker serves as many connections as it may", {
  cause: "too-many-connections"
})
