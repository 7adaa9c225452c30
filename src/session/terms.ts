/**
 * What CONNECT and CONNACK agree on for one connection.
 *
 * A tenant's settings may change at any time; what CONNACK has announced may not: a client that keeps to it
 * must not be punished for a limit that it has not heard of. So whatever CONNACK says is fixed here, also for
 * clients of earlier versions, whom it tells nothing, and a change holds from their next connection on.
 */

import type { Accepted, Identity } from "../auth/Authenticator.ts"
import type { Connect, Properties } from "../protocol/Packet.ts"
import { NEVER_EXPIRES, type TenantSettings } from "../tenant/TenantSettings.ts"

/** What a client was told, or would have been if its version could be. */
export interface AnnouncedTerms {
  readonly receiveMaximum: number
  readonly topicAliasMaximum: number
  readonly maximumQos: 0 | 1 | 2
  readonly retainAvailable: boolean
  readonly wildcardSubscriptionAvailable: boolean
  readonly subscriptionIdentifiersAvailable: boolean
  readonly sharedSubscriptionAvailable: boolean
}

export interface ConnectionTerms extends AnnouncedTerms {
  readonly isVersion5: boolean
  /**
   * QoS 1 and 2 messages that we may have unacknowledged: the client's Receive Maximum and our own cap.
   * [MQTT-4.9.0-1]
   */
  readonly sendQuota: number
  /** Seconds; 0 never. */
  readonly keepAlive: number
  /** Silence after which the client counts as gone; 0 never. One and a half Keep Alives. [MQTT-3.1.2-22] */
  readonly silenceMaxMs: number
  /** Whether CONNECT asked for a Session Expiry Interval of 0, which DISCONNECT must not raise. */
  readonly expiryWasZero: boolean
  readonly authenticationMethod: string | undefined
}

/** Terms while nobody is connected: nothing may be sent, and nothing comes. */
export const offlineTerms: ConnectionTerms = {
  isVersion5: false,
  sendQuota: 0,
  keepAlive: 0,
  silenceMaxMs: 0,
  expiryWasZero: true,
  authenticationMethod: undefined,
  receiveMaximum: 0,
  topicAliasMaximum: 0,
  maximumQos: 0,
  retainAvailable: false,
  wildcardSubscriptionAvailable: false,
  subscriptionIdentifiersAvailable: false,
  sharedSubscriptionAvailable: false
}

export const termsOf = (connect: Connect, settings: TenantSettings): ConnectionTerms => {
  const keepAlive = grantedKeepAlive(connect, settings)
  return {
    isVersion5: connect.protocolVersion === 5,
    sendQuota: Math.min(connect.properties.receiveMaximum ?? settings.inflightMax, settings.inflightMax),
    keepAlive,
    silenceMaxMs: keepAlive * 1500,
    expiryWasZero: (connect.properties.sessionExpiryInterval ?? 0) === 0,
    authenticationMethod: connect.properties.authenticationMethod,
    receiveMaximum: settings.receiveMaximum,
    topicAliasMaximum: settings.topicAliasMaximum,
    maximumQos: settings.maximumQos,
    retainAvailable: settings.retainAvailable,
    wildcardSubscriptionAvailable: settings.wildcardSubscriptionAvailable,
    subscriptionIdentifiersAvailable: settings.subscriptionIdentifiersAvailable,
    sharedSubscriptionAvailable: settings.sharedSubscriptionAvailable
  }
}

/** Version 5 clients can be told another Keep Alive; earlier ones get what they ask for. */
const grantedKeepAlive = (connect: Connect, settings: TenantSettings): number => {
  const { keepAlive } = connect
  if (connect.protocolVersion !== 5) return keepAlive
  if (keepAlive === 0) return settings.keepAliveMax < 65_535 ? settings.keepAliveMax : 0
  return Math.min(Math.max(keepAlive, settings.keepAliveMin), settings.keepAliveMax)
}

/** The Session Expiry Interval that CONNECT is granted, in seconds. */
export const expiryOf = (connect: Connect, settings: TenantSettings): number => {
  if (connect.protocolVersion === 5) {
    return grantedExpiry(connect.properties.sessionExpiryInterval ?? 0, settings)
  }
  return grantedExpiry(connect.cleanStart ? 0 : NEVER_EXPIRES, settings)
}

/** A session that is to end with its connection does; any other lasts as long as the tenant lets it. */
export const grantedExpiry = (wanted: number, settings: TenantSettings): number => {
  const { forceTransient, sessionExpiryIntervalMax, sessionExpiryIntervalMin } = settings
  if (wanted === 0 || forceTransient) return 0
  return Math.min(Math.max(wanted, sessionExpiryIntervalMin), sessionExpiryIntervalMax)
}

/** What CONNACK is made of beside the terms. */
export interface Introduction {
  readonly connect: Connect
  readonly accepted: Accepted
  readonly identity: Identity
  /** The client sent no identifier and was given `identity.clientId`. [MQTT-3.2.2-16] */
  readonly isAssignedId: boolean
  /** Largest packet that we take, for CONNACK. */
  readonly packetBytesMax: number
}

/** What CONNACK tells a version 5 client. */
export const connackProperties = (
  terms: ConnectionTerms,
  expiryInterval: number,
  { accepted, connect, identity, isAssignedId, packetBytesMax }: Introduction
): Properties => {
  const wantsResponseInformation = connect.properties.requestResponseInformation === true
  return {
    // [MQTT-3.2.2-16]
    ...(isAssignedId && { assignedClientIdentifier: identity.clientId }),
    ...(expiryInterval !== (connect.properties.sessionExpiryInterval ?? 0) && {
      sessionExpiryInterval: expiryInterval
    }),
    // [MQTT-3.1.2-21]
    ...(terms.keepAlive !== connect.keepAlive && { serverKeepAlive: terms.keepAlive }),
    ...(terms.receiveMaximum < 65_535 && { receiveMaximum: terms.receiveMaximum }),
    maximumPacketSize: packetBytesMax,
    ...(terms.topicAliasMaximum > 0 && { topicAliasMaximum: terms.topicAliasMaximum }),
    // [MQTT-3.2.2-9]
    ...(terms.maximumQos < 2 && { maximumQos: terms.maximumQos === 1 ? 1 : 0 }),
    ...(!terms.retainAvailable && { retainAvailable: false }),
    ...(!terms.wildcardSubscriptionAvailable && { wildcardSubscriptionAvailable: false }),
    ...(!terms.subscriptionIdentifiersAvailable && { subscriptionIdentifiersAvailable: false }),
    ...(!terms.sharedSubscriptionAvailable && { sharedSubscriptionAvailable: false }),
    // [MQTT-3.1.2-28]
    ...(wantsResponseInformation &&
      accepted.responseInformation !== undefined && { responseInformation: accepted.responseInformation }),
    // [MQTT-4.12.0-5]
    ...(terms.authenticationMethod !== undefined && { authenticationMethod: terms.authenticationMethod }),
    ...(accepted.authenticationData !== undefined && { authenticationData: accepted.authenticationData }),
    ...(accepted.userProperties !== undefined && { userProperties: accepted.userProperties })
  }
}
