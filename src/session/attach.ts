/**
 * A client takes up the session: what becomes of an earlier connection and of the stored state, and what
 * CONNACK says.
 *
 * The steps are those of MQTT 5.0 section 3.1.4: take over, Clean Start, terms, CONNACK, resume. A session
 * serves its attachments in the order of its mailbox, so a storm of takeovers is a queue, not a race.
 */

import type { Permissions } from "../auth/Authorizer.ts"
import { ReasonCode } from "../protocol/ReasonCode.ts"
import { AliasTable } from "./AliasTable.ts"
import { recordConnect } from "./durability.ts"
import { connectionLost, endSession, fireDueWill } from "./expiry.ts"
import type { Link } from "./Link.ts"
import { rejudge } from "./rejudge.ts"
import { resume } from "./resume.ts"
import type { SessionOutputs, SessionState } from "./SessionState.ts"
import { connackProperties, expiryOf, type Introduction, termsOf } from "./terms.ts"

/** An authenticated, permitted client at the end of its handshake. */
export interface Attachment extends Introduction {
  readonly link: Link
  readonly permissions: Permissions
}

export const attach = (
  state: SessionState,
  attachment: Attachment,
  nowMs: number,
  out: SessionOutputs
): { readonly sessionPresent: boolean } => {
  const { connect, link } = attachment
  if (state.link !== undefined) {
    // [MQTT-3.1.4-3]
    out.close({
      reasonCode: ReasonCode.SessionTakenOver,
      reason: "another connection uses this client identifier"
    })
    connectionLost(state, { withWill: true, isTakenOver: !connect.cleanStart }, nowMs, out)
  }
  // [MQTT-3.1.2-4] [MQTT-3.1.2-5] [MQTT-3.1.2-6]
  const hasEnded = state.endsAtMs !== 0 && state.endsAtMs <= nowMs
  const sessionPresent = state.isStored && !hasEnded && !connect.cleanStart
  const discardsStored = connect.cleanStart && state.isRecorded && state.keepsState && !out.isStorageFailing
  if (sessionPresent) fireDueWill(state, nowMs, out)
  else endSession(state, out)
  const { settings } = state
  state.isStored = true
  state.epoch++
  state.link = link
  state.identity = attachment.identity
  state.permissions = attachment.permissions
  state.terms = termsOf(connect, settings)
  state.expiryInterval = expiryOf(connect, settings)
  // [MQTT-3.1.2-8] [MQTT-3.1.3-9]: a new connection before the delay has passed keeps the old will from being
  // sent
  state.willDueMs = 0
  state.endsAtMs = 0
  state.will = connect.will
  state.lastPacketMs = nowMs
  state.validUntilMs = attachment.accepted.validUntilMs ?? 0
  recordConnect(state, sessionPresent, out)
  const aliases = Math.min(connect.properties.topicAliasMaximum ?? 0, settings.topicAliasMaximumOutbound)
  state.outboundAliases = aliases > 0 ? new AliasTable(aliases) : undefined
  const connack = {
    _tag: "Connack",
    sessionPresent,
    reasonCode: ReasonCode.Success,
    properties: state.terms.isVersion5 ? connackProperties(state.terms, state.expiryInterval, attachment) : {}
  } as const
  state.isWithheld = false
  if (discardsStored) {
    // Who hears that the broker holds nothing uses its identifiers anew: a crash must not bring back what it
    // held. [MQTT-3.1.2-4]
    state.parked = { _tag: "Connack" }
    out.greetAfterCommit(link, connack)
  } else {
    link.send(connack)
    state.isWithheld = sessionPresent && !rejudge(state, attachment.permissions, out)
    resume(state, nowMs, out)
  }
  return { sessionPresent }
}
