/**
 * A client takes up the session: what becomes of an earlier connection and of the stored state, and what
 * CONNACK says.
 *
 * The steps are those of MQTT 5.0 section 3.1.4: take over, Clean Start, terms, CONNACK, resume. A session
 * serves its attachments in the order of its mailbox, so a storm of takeovers is a queue, not a race.
 */

import type { Accepted, Identity } from "../auth/Authenticator.ts"
import type { Permissions } from "../auth/Authorizer.ts"
import type { Connect, Properties } from "../protocol/Packet.ts"
import { ReasonCode } from "../protocol/ReasonCode.ts"
import { NEVER_EXPIRES, type TenantSettings } from "../tenant/TenantSettings.ts"
import { AliasTable } from "./AliasTable.ts"
import { recordConnect } from "./durability.ts"
import { connectionLost, endSession, fireDueWill } from "./expiry.ts"
import type { Link } from "./Link.ts"
import { resume } from "./resume.ts"
import type { ConnectionTerms, SessionOutputs, SessionState } from "./SessionState.ts"

/** An authenticated, permitted client at the end of its handshake. */
export interface Attachment {
  readonly link: Link
  readonly connect: Connect
  readonly accepted: Accepted
  readonly identity: Identity
  readonly permissions: Permissions
  /** The client sent no identifier and was given `identity.clientId`. [MQTT-3.2.2-16] */
  readonly isAssignedId: boolean
  /** Largest packet that we take, for CONNACK. */
  readonly packetBytesMax: number
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
  link.send({
    _tag: "Connack",
    sessionPresent,
    reasonCode: ReasonCode.Success,
    properties: state.terms.isVersion5 ? connackProperties(state, attachment) : {}
  })
  resume(state, nowMs, out)
  return { sessionPresent }
}

const termsOf = (connect: Connect, settings: TenantSettings): ConnectionTerms => {
  const keepAlive = grantedKeepAlive(connect, settings)
  return {
    isVersion5: connect.protocolVersion === 5,
    sendQuota: Math.min(connect.properties.receiveMaximum ?? settings.inflightMax, settings.inflightMax),
    silenceMaxMs: keepAlive * 1500,
    expiryWasZero: (connect.properties.sessionExpiryInterval ?? 0) === 0,
    authenticationMethod: connect.properties.authenticationMethod
  }
}

/** Version 5 clients can be told another Keep Alive; earlier ones get what they ask for. [MQTT-3.2.2-22] */
const grantedKeepAlive = (connect: Connect, settings: TenantSettings): number => {
  const { keepAlive } = connect
  if (connect.protocolVersion !== 5) return keepAlive
  if (keepAlive === 0) return settings.keepAliveMax < 65_535 ? settings.keepAliveMax : 0
  return Math.min(Math.max(keepAlive, settings.keepAliveMin), settings.keepAliveMax)
}

const expiryOf = (connect: Connect, settings: TenantSettings): number => {
  const wanted =
    connect.protocolVersion === 5
      ? (connect.properties.sessionExpiryInterval ?? 0)
      : connect.cleanStart
        ? 0
        : NEVER_EXPIRES
  return Math.min(wanted, settings.sessionExpiryIntervalMax)
}

const connackProperties = (state: SessionState, attachment: Attachment): Properties => {
  const { accepted, connect, identity, isAssignedId, packetBytesMax } = attachment
  const { settings, terms } = state
  const keepAlive = grantedKeepAlive(connect, settings)
  const wantsResponseInformation = connect.properties.requestResponseInformation === true
  return {
    // [MQTT-3.2.2-16]
    ...(isAssignedId && { assignedClientIdentifier: identity.clientId }),
    ...(state.expiryInterval !== (connect.properties.sessionExpiryInterval ?? 0) && {
      sessionExpiryInterval: state.expiryInterval
    }),
    // [MQTT-3.1.2-21]
    ...(keepAlive !== connect.keepAlive && { serverKeepAlive: keepAlive }),
    ...(settings.receiveMaximum < 65_535 && { receiveMaximum: settings.receiveMaximum }),
    maximumPacketSize: packetBytesMax,
    ...(settings.topicAliasMaximum > 0 && { topicAliasMaximum: settings.topicAliasMaximum }),
    // [MQTT-3.2.2-9]
    ...(settings.maximumQos < 2 && { maximumQos: settings.maximumQos === 1 ? 1 : 0 }),
    ...(!settings.retainAvailable && { retainAvailable: false }),
    ...(!settings.wildcardSubscriptionAvailable && { wildcardSubscriptionAvailable: false }),
    ...(!settings.subscriptionIdentifiersAvailable && { subscriptionIdentifiersAvailable: false }),
    ...(!settings.sharedSubscriptionAvailable && { sharedSubscriptionAvailable: false }),
    // [MQTT-3.1.2-28]
    ...(wantsResponseInformation &&
      accepted.responseInformation !== undefined && { responseInformation: accepted.responseInformation }),
    // [MQTT-4.12.0-5]
    ...(terms.authenticationMethod !== undefined && { authenticationMethod: terms.authenticationMethod }),
    ...(accepted.authenticationData !== undefined && { authenticationData: accepted.authenticationData }),
    ...(accepted.userProperties !== undefined && { userProperties: accepted.userProperties })
  }
}
