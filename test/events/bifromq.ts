/**
 * The 84 kinds of events of Apache BifroMQ 4.0 and what becomes of each here: the event, and a happening that
 * brings it about; or why it cannot happen. Where BifroMQ has many kinds for one thing, here it is one event
 * with a cause.
 */

import type { Event } from "../../src/events/Event.ts"
import { type Happening, happenings } from "./happenings.ts"

/** What an event must hold. */
export type Expected = { readonly _tag: Event["_tag"] } & Readonly<Record<string, unknown>>

export type Counterpart =
  | { readonly happening: Happening; readonly expected: Expected }
  | { readonly cannotHappen: string }

const is = (happening: Happening, expected: Expected): Counterpart => ({ happening, expected })

const never = (cannotHappen: string): Counterpart => ({ cannotHappen })

const h = happenings

const refused = { _tag: "ConnectRefused" } as const
const left = { _tag: "ClientDisconnected" } as const
const dropped = { _tag: "MessageDropped" } as const

const noPackets = "acknowledgements are never dropped: a client that does not read is read no further"
const oneProcess = "there is no call between a session and the router that could fail"

export const counterparts: Readonly<Record<string, Counterpart>> = {
  AUTH_ERROR: is(h.authenticatorFails, { ...refused, cause: "authentication-error" }),
  ENHANCED_AUTH_ABORT_BY_CLIENT: is(h.abortsByDisconnect, { ...refused, cause: "authentication-aborted" }),
  UNAUTHENTICATED_CLIENT: is(h.badPassword, { ...refused, cause: "bad-credentials", clientId: "client" }),
  NOT_AUTHORIZED_CLIENT: is(h.notAuthorized, { ...refused, cause: "not-authorized", reasonCode: 0x87 }),
  CHANNEL_ERROR: is(h.tooManyConnections, { ...refused, cause: "too-many-connections", clientId: "" }),
  CONNECT_TIMEOUT: is(h.silence, { ...refused, cause: "handshake-timeout" }),
  IDENTIFIER_REJECTED: is(h.emptyIdentifier, { ...refused, cause: "client-identifier-rejected" }),
  MALFORMED_CLIENT_IDENTIFIER: is(h.illFormedIdentifier, { ...refused, cause: "malformed-packet" }),
  MALFORMED_USERNAME: is(h.illFormedUsername, { ...refused, cause: "malformed-packet" }),
  MALFORMED_WILL_TOPIC: is(h.illFormedWillTopic, { ...refused, cause: "malformed-packet" }),
  PROTOCOL_ERROR: is(h.reservedFlag, { ...refused, clause: "v3 MQTT-3.1.2-3" }),
  UNACCEPTED_PROTOCOL_VER: is(h.unknownVersion, { ...refused, cause: "unsupported-version" }),
  CLIENT_CONNECTED: is(h.comes, {
    _tag: "ClientConnected",
    principal: "anonymous",
    protocolVersion: 4,
    keepAlive: 30,
    cleanStart: true,
    sessionPresent: false,
    hasWill: true
  }),
  BAD_PACKET: is(h.sendsGarbage, { ...left, by: "server", cause: "malformed-packet" }),
  BY_CLIENT: is(h.disconnects, { ...left, by: "client", cause: "client-disconnected" }),
  BY_SERVER: is(h.serverStops, { ...left, by: "server", cause: "server-shutdown", reasonCode: 0x8b }),
  SERVER_BUSY: never("a broker that is busy reads its clients less, and keeps them"),
  RESOURCE_THROTTLED: is(h.queueOverflowDisconnects, { ...left, by: "server", cause: "quota-exceeded" }),
  CLIENT_CHANNEL_ERROR: is(h.isLost, { ...left, by: "client", cause: "connection-lost" }),
  IDLE: is(h.goesSilent, { ...left, cause: "keep-alive-timeout", reasonCode: 0x8d }),
  INBOX_TRANSIENT_ERROR: is(h.storageFails, { ...dropped, reason: "not-stored", clientId: "reader" }),
  INVALID_TOPIC: is(h.topicTooDeep, { _tag: "PublishRefused", cause: "topic-invalid", topic: "a/b/c" }),
  MALFORMED_TOPIC: is(h.illFormedTopic, { ...left, cause: "malformed-packet", clause: "v3 MQTT-1.5.3-1" }),
  INVALID_TOPIC_FILTER: is(h.invalidFilter, { _tag: "SubscribeRefused", cause: "filter-invalid" }),
  MALFORMED_TOPIC_FILTER: is(h.illFormedFilter, { ...left, cause: "malformed-packet" }),
  KICKED: is(h.isTakenOver, { _tag: "SessionTakenOver", byAddress: "" }),
  SERVER_REDIRECTED: is(h.redirected, {
    ...refused,
    cause: "redirected",
    reasonCode: 0x9d,
    serverReference: "elsewhere:1883"
  }),
  RE_AUTH_FAILED: is(h.failsToReauthenticate, { ...left, cause: "reauthentication-failed" }),
  NO_PUB_PERMISSION: is(h.publishForbidden, { _tag: "PublishRefused", cause: "not-authorized" }),
  PROTOCOL_VIOLATION: is(h.sendsConnectAgain, { ...left, cause: "protocol-error", clause: "MQTT-3.1.0-2" }),
  EXCEED_RECEIVING_LIMIT: is(h.tooMuchUnderWay, { ...left, cause: "receive-maximum-exceeded" }),
  EXCEED_PUB_RATE: is(h.publishesTooFast(5), { _tag: "QuotaReached", resource: "publishRate" }),
  TOO_LARGE_SUBSCRIPTION: is(h.manyFiltersAtOnce, { _tag: "SubscribeRefused", cause: "quota-exceeded" }),
  TOO_LARGE_UNSUBSCRIPTION: never("everybody may give up as many filters at once as a packet holds"),
  OVERSIZE_PACKET_DROPPED: is(h.tooLarge, { ...dropped, reason: "too-large", qos: 0 }),
  PING_REQ: is(h.publishesAndPings, { _tag: "PingReceived" }),
  DISCARD: is(h.publishesTooFast(4), { _tag: "QuotaReached", outcome: "delayed" }),
  SUB_STALLED: is(h.stalls, { _tag: "ClientStalled", clientId: "reader", unacknowledged: 1 }),
  WILL_DISTED: is(h.isLost, { _tag: "WillPublished", topic: "w" }),
  WILL_DIST_ERROR: is(h.willIsForbidden, { _tag: "PublishRefused", topic: "w", isWill: true, qos: 1 }),
  QOS0_DIST_ERROR: never(`${oneProcess}, and nothing of QoS 0 is stored`),
  QOS1_DIST_ERROR: is(h.notStored(1), { _tag: "PublishRefused", cause: "not-stored", topic: "a", qos: 1 }),
  QOS2_DIST_ERROR: is(h.notStored(2), { _tag: "PublishRefused", cause: "not-stored", topic: "a", qos: 2 }),
  PUB_ACKED: is(h.publishesAndPings, { _tag: "MessageAcknowledged", qos: 1, packetId: 1 }),
  PUB_RECED: is(h.publishesAndPings, { _tag: "MessageAcknowledged", qos: 2, packetId: 1 }),
  PUB_ACK_DROPPED: never(noPackets),
  PUB_REC_DROPPED: never(noPackets),
  MSG_RETAINED: is(h.retains, { _tag: "RetainedChanged", topic: "a", change: "set" }),
  RETAIN_MSG_CLEARED: is(h.retains, { _tag: "RetainedChanged", topic: "a", change: "removed" }),
  MSG_RETAINED_ERROR: is(h.retainsTooMuch, { _tag: "PublishRefused", cause: "quota-exceeded", retain: true }),
  RETAIN_MSG_MATCHED: is(h.retains, { _tag: "RetainedMatched", topicFilter: "a", messages: 1 }),
  MATCH_RETAIN_ERROR: is(h.matchesTooMuch, { _tag: "QuotaReached", resource: "retainedMatchMax" }),
  QOS0_PUSHED: is(h.delivers(0), { _tag: "MessageSent", topic: "a", qos: 0, clientId: "reader" }),
  QOS1_PUSHED: is(h.delivers(1), { _tag: "MessageSent", topic: "a", qos: 1, isRepeated: false }),
  QOS2_PUSHED: is(h.delivers(2), { _tag: "MessageSent", topic: "a", qos: 2 }),
  QOS0_DROPPED: is(h.isTooSlow, { ...dropped, reason: "slow-consumer", qos: 0, topic: "a" }),
  QOS1_DROPPED: is(h.overQueue(1), { ...dropped, reason: "queue-full", qos: 1, topic: "a" }),
  QOS2_DROPPED: is(h.overQueue(2), { ...dropped, reason: "queue-full", qos: 2, topic: "a" }),
  QOS1_PUSH_ERROR: never("a socket that cannot be written to has closed: ClientDisconnected says so"),
  QOS2_PUSH_ERROR: never("a socket that cannot be written to has closed: ClientDisconnected says so"),
  QOS1_CONFIRMED: is(h.delivers(1), { _tag: "DeliveryConfirmed", by: "PUBACK", clientId: "reader" }),
  QOS2_RECEIVED: is(h.delivers(2), { _tag: "DeliveryConfirmed", by: "PUBREC" }),
  QOS2_CONFIRMED: is(h.delivers(2), { _tag: "DeliveryConfirmed", by: "PUBCOMP" }),
  PUB_ACTION_DISALLOW: is(h.publishForbidden, { _tag: "PublishRefused", topic: "topic", qos: 1 }),
  SUB_ACTION_DISALLOW: is(h.subscribeForbidden, { _tag: "SubscribeRefused", topicFilter: "topic" }),
  UNSUB_ACTION_DISALLOW: never("everybody may give up what it has subscribed to"),
  ACCESS_CONTROL_ERROR: is(h.authorizerFails, { ...refused, cause: "authorization-error" }),
  SUB_ACKED: is(h.subscribes, { _tag: "Subscribed", topicFilters: ["a", "b/#"], reasonCodes: [1, 0] }),
  UNSUB_ACKED: is(h.subscribes, {
    _tag: "Unsubscribed",
    topicFilters: ["a", "nothing"],
    reasonCodes: [0, 0x11]
  }),
  DISTED: is(h.delivers(0), { _tag: "MessageRouted", topic: "a", targets: 1, clientId: "writer" }),
  DIST_ERROR: never(oneProcess),
  DELIVERED: is(h.delivers(1), { _tag: "MessageSent", clientId: "reader" }),
  DELIVER_ERROR: is(h.storageFails, { ...dropped, reason: "not-stored" }),
  PERSISTENT_FANOUT_THROTTLED: is(h.keptByTooMany, { _tag: "PublishRefused", cause: "quota-exceeded" }),
  PERSISTENT_FANOUT_BYTES_THROTTLED: is(h.keptTooLarge, { _tag: "PublishRefused", cause: "quota-exceeded" }),
  GROUP_FANOUT_THROTTLED: is(h.toTooManyGroups, { _tag: "PublishRefused", cause: "quota-exceeded" }),
  MATCHED: is(h.subscribes, { _tag: "Subscribed", clientId: "client" }),
  MATCH_ERROR: is(h.subscriptionNotStored, { _tag: "SubscribeRefused", cause: "not-stored" }),
  UNMATCHED: is(h.subscribes, { _tag: "Unsubscribed", clientId: "client" }),
  UNMATCH_ERROR: never(oneProcess),
  OVERFLOWED: is(h.overQueue(0), { ...dropped, reason: "queue-full", qos: 0, clientId: "reader" }),
  OUT_OF_TENANT_RESOURCE: is(h.noSessionLeft, { ...refused, cause: "quota-exceeded", tenant: "default" }),
  MQTT_SESSION_START: is(h.comes, { _tag: "SessionStarted", principal: "anonymous" }),
  MQTT_SESSION_STOP: is(h.sessionEnds, { _tag: "SessionEnded" })
}
