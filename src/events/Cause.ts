/**
 * Why somebody was refused or a connection ended, as one word: what dashboards count and filters name. The
 * Reason Code beside it is what a client was told, the `reason` is for people.
 *
 * Most causes follow from the Reason Code. Those that do not are given by whoever refuses.
 */

import { ReasonCode } from "../protocol/ReasonCode.ts"

export type Cause =
  // Who it is
  | "bad-credentials"
  | "bad-authentication-method"
  | "banned"
  | "not-authorized"
  | "refused-by-policy"
  | "credentials-expired"
  | "reauthentication-failed"
  | "authentication-aborted"
  | "client-identifier-rejected"
  // What it sends
  | "malformed-packet"
  | "packet-too-large"
  | "protocol-error"
  | "unsupported-version"
  | "not-supported"
  | "topic-invalid"
  | "filter-invalid"
  | "topic-alias-invalid"
  | "payload-invalid"
  | "receive-maximum-exceeded"
  // How much, how fast
  | "quota-exceeded"
  | "rate-exceeded"
  | "too-many-connections"
  | "handshake-timeout"
  | "keep-alive-timeout"
  // The client or its network
  | "client-disconnected"
  | "connection-lost"
  // The server
  | "authentication-error"
  | "authorization-error"
  | "tenant-unavailable"
  | "taken-over"
  | "redirected"
  | "administrative"
  | "not-stored"
  | "implementation-limit"
  | "server-busy"
  | "server-error"
  | "server-shutdown"

const causes: ReadonlyMap<number, Cause> = new Map<ReasonCode, Cause>([
  [ReasonCode.UnspecifiedError, "server-error"],
  [ReasonCode.MalformedPacket, "malformed-packet"],
  [ReasonCode.ProtocolError, "protocol-error"],
  [ReasonCode.ImplementationSpecificError, "implementation-limit"],
  [ReasonCode.UnsupportedProtocolVersion, "unsupported-version"],
  [ReasonCode.ClientIdentifierNotValid, "client-identifier-rejected"],
  [ReasonCode.BadUserNameOrPassword, "bad-credentials"],
  [ReasonCode.NotAuthorized, "not-authorized"],
  [ReasonCode.ServerUnavailable, "server-error"],
  [ReasonCode.ServerBusy, "server-busy"],
  [ReasonCode.Banned, "banned"],
  [ReasonCode.ServerShuttingDown, "server-shutdown"],
  [ReasonCode.BadAuthenticationMethod, "bad-authentication-method"],
  [ReasonCode.KeepAliveTimeout, "keep-alive-timeout"],
  [ReasonCode.SessionTakenOver, "taken-over"],
  [ReasonCode.TopicFilterInvalid, "filter-invalid"],
  [ReasonCode.TopicNameInvalid, "topic-invalid"],
  [ReasonCode.ReceiveMaximumExceeded, "receive-maximum-exceeded"],
  [ReasonCode.TopicAliasInvalid, "topic-alias-invalid"],
  [ReasonCode.PacketTooLarge, "packet-too-large"],
  [ReasonCode.MessageRateTooHigh, "rate-exceeded"],
  [ReasonCode.QuotaExceeded, "quota-exceeded"],
  [ReasonCode.AdministrativeAction, "administrative"],
  [ReasonCode.PayloadFormatInvalid, "payload-invalid"],
  [ReasonCode.RetainNotSupported, "not-supported"],
  [ReasonCode.QosNotSupported, "not-supported"],
  [ReasonCode.UseAnotherServer, "redirected"],
  [ReasonCode.ServerMoved, "redirected"],
  [ReasonCode.SharedSubscriptionsNotSupported, "not-supported"],
  [ReasonCode.ConnectionRateExceeded, "rate-exceeded"],
  [ReasonCode.MaximumConnectTime, "credentials-expired"],
  [ReasonCode.SubscriptionIdentifiersNotSupported, "not-supported"],
  [ReasonCode.WildcardSubscriptionsNotSupported, "not-supported"]
])

/** The cause that a failure's Reason Code stands for. */
export const causeOf = (reasonCode: number): Cause => causes.get(reasonCode) ?? "server-error"

/** The same for a PUBLISH or a SUBSCRIBE: what has no code of its own there could not be stored. */
export const refusalCauseOf = (reasonCode: number): Cause =>
  reasonCode === ReasonCode.UnspecifiedError ? "not-stored" : causeOf(reasonCode)
