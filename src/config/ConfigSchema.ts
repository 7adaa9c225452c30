/**
 * Every key of the configuration, with its meaning, its default and what it accepts.
 *
 * The keys of `session` are those of `TenantSettings`: they are what a tenant has unless its directory says
 * otherwise.
 */

import * as Schema from "effect/Schema"
import { defaultTenantSettings, NEVER_EXPIRES, type TenantSettings } from "../tenant/TenantSettings.ts"
import {
  boolean,
  describe,
  duration,
  integer,
  oneOf,
  oneOfNumbers,
  seconds,
  size,
  text
} from "../values/Key.ts"
import { Authentication } from "./AuthenticationSchema.ts"
import { Listeners } from "./ListenerSchema.ts"

const countMax = 1_000_000_000
const sizeMax = 1024 ** 4

/** The largest Remaining Length that MQTT can express. (5.0, section 1.5.5) */
const packetBytesLimit = 268_435_455

const Limits = Schema.Struct({
  handshakeTimeout: describe(
    duration(100, 600_000),
    "Time from accepting a connection to its CONNECT, TLS and WebSocket included",
    "10s"
  ),
  acceptRate: describe(
    integer(1, countMax),
    "Connections accepted per second and listener, sustained",
    10_000
  ),
  acceptBurst: describe(
    integer(1, countMax),
    "Connections accepted at once before `acceptRate` holds",
    20_000
  ),
  acceptRatePerAddress: describe(
    integer(0, countMax),
    "Connections accepted per second from one address (of IPv6, one /64); 0 does not limit",
    0
  ),
  acceptBurstPerAddress: describe(
    integer(1, countMax),
    "Connections accepted at once from one address before `acceptRatePerAddress` holds",
    1000
  ),
  pendingHandshakes: describe(
    integer(1, countMax),
    "Connections of a listener that have not sent CONNECT",
    10_000
  ),
  pendingHandshakesPerAddress: describe(
    integer(0, countMax),
    "The same from one address; 0 does not limit",
    2000
  ),
  packetBytesMax: describe(
    size(1024, packetBytesLimit),
    "Largest packet accepted, announced to MQTT 5 clients as Maximum Packet Size",
    "1MB"
  ),
  connectBytesMax: describe(
    size(256, packetBytesLimit),
    "Largest packet from a client not yet admitted",
    "128KB"
  ),
  connectionsMax: describe(integer(1, countMax), "Clients connected at a time", 1_000_000)
})

/** A key of `session`, whose default is the tenant's. */
const setting = <Name extends keyof TenantSettings, A extends TenantSettings[Name], I>(
  name: Name,
  schema: Schema.Schema<A, I>,
  description: string
): Schema.Schema<A, I> =>
  describe(schema, description, Schema.encodeSync(schema)(defaultTenantSettings[name] as A) as NoInfer<I>)

const Session = Schema.Struct({
  sessionExpiryIntervalMax: setting(
    "sessionExpiryIntervalMax",
    seconds(NEVER_EXPIRES, { never: NEVER_EXPIRES }),
    "Longest time that a session is kept for an absent client (seconds); 4294967295 is for ever"
  ),
  keepAliveMin: setting("keepAliveMin", seconds(65_535), "Shortest keep-alive granted (seconds)"),
  keepAliveMax: setting("keepAliveMax", seconds(65_535), "Longest keep-alive granted (seconds)"),
  receiveMaximum: setting(
    "receiveMaximum",
    integer(1, 65_535),
    "QoS 1 and 2 messages that a client may have unacknowledged at the broker"
  ),
  inflightMax: setting(
    "inflightMax",
    integer(1, 65_535),
    "QoS 1 and 2 messages that the broker has unacknowledged at a client"
  ),
  topicAliasMaximum: setting("topicAliasMaximum", integer(0, 65_535), "Topic aliases that a client may set"),
  topicAliasMaximumOutbound: setting(
    "topicAliasMaximumOutbound",
    integer(0, 65_535),
    "Topic aliases that the broker sets for a client that allows them"
  ),
  queueMessagesMax: setting("queueMessagesMax", integer(0, countMax), "Messages that wait for one session"),
  queueBytesMax: setting("queueBytesMax", size(0, sizeMax), "Payload that waits for one session"),
  queuePolicy: setting(
    "queuePolicy",
    oneOf("drop-oldest", "drop-newest", "disconnect"),
    "What happens when a session's queue is full"
  ),
  tenantQueueBytesMax: setting(
    "tenantQueueBytesMax",
    size(0, sizeMax),
    "Payload that waits for all of a tenant's sessions together"
  ),
  durability: setting(
    "durability",
    oneOf("memory", "os", "disk"),
    "What an acknowledged message survives: nothing, a killed process, a power cut"
  ),
  queueQos0: setting("queueQos0", boolean, "Queue QoS 0 messages for absent clients as well"),
  outboundBytesMax: setting(
    "outboundBytesMax",
    size(1024, sizeMax),
    "Bytes that wait for a slow client's socket before QoS 0 messages to it are dropped"
  ),
  maximumQos: setting("maximumQos", oneOfNumbers(0, 1, 2), "Highest QoS granted"),
  retainAvailable: setting("retainAvailable", boolean, "Accept retained messages"),
  wildcardSubscriptionAvailable: setting("wildcardSubscriptionAvailable", boolean, "Accept `+` and `#`"),
  subscriptionIdentifiersAvailable: setting(
    "subscriptionIdentifiersAvailable",
    boolean,
    "Accept Subscription Identifiers"
  ),
  sharedSubscriptionAvailable: setting("sharedSubscriptionAvailable", boolean, "Accept shared subscriptions"),
  sharedSubscriptionStrategy: setting(
    "sharedSubscriptionStrategy",
    oneOf("round-robin", "random", "sticky", "least-inflight", "hash-topic", "hash-client"),
    "How a message finds its receiver in a shared subscription"
  ),
  subscriptionsMax: setting("subscriptionsMax", integer(1, countMax), "Subscriptions of one session"),
  topicLevelsMax: setting("topicLevelsMax", integer(1, 65_535), "Levels of a topic name or filter"),
  topicBytesMax: setting("topicBytesMax", integer(1, 65_535), "Bytes of a topic name or filter"),
  retainedMessagesMax: setting("retainedMessagesMax", integer(0, countMax), "Retained messages of a tenant"),
  retainedBytesMax: setting("retainedBytesMax", size(0, sizeMax), "Payload of a tenant's retained messages"),
  sessionsMax: setting("sessionsMax", integer(1, countMax), "Sessions of a tenant, connected or kept"),
  weight: setting(
    "weight",
    integer(1, 1000),
    "A tenant's share of the processor when several are at work, relative to that of others"
  ),
  willDelayIntervalMax: setting(
    "willDelayIntervalMax",
    seconds(NEVER_EXPIRES),
    "Longest delay of a will message (seconds)"
  ),
  mqtt31: setting("mqtt31", boolean, "Accept MQTT 3.1 clients"),
  mqtt311: setting("mqtt311", boolean, "Accept MQTT 3.1.1 clients"),
  mqtt5: setting("mqtt5", boolean, "Accept MQTT 5.0 clients")
})

const Shutdown = Schema.Struct({
  drain: describe(duration(0, 3_600_000), "Time that clients get to leave before the broker ends", "10s"),
  wills: describe(
    oneOf("publish", "suppress"),
    "What becomes of the wills of clients that the broker disconnects at its end",
    "publish"
  )
})

const Log = Schema.Struct({
  level: describe(
    oneOf("trace", "debug", "info", "warning", "error", "fatal", "none"),
    "Least severe message that is logged",
    "info"
  ),
  format: describe(
    oneOf("auto", "pretty", "json"),
    "`auto` is pretty on a terminal and JSON elsewhere",
    "auto"
  )
})

const Storage = Schema.Struct({
  kind: describe(
    oneOf("sqlite", "memory"),
    "Where sessions and messages are kept: in an SQLite database, or in memory until the process ends",
    "sqlite"
  ),
  path: describe(
    text("a folder"),
    "Folder of the database, made if it is not there; in a file it is meant from where the file is",
    "data"
  ),
  bytesMax: describe(size(0, sizeMax), "Largest size of the database; 0 is as large as the disk allows", 0)
})

export const ConfigSchema = Schema.Struct({
  listeners: Listeners,
  authentication: Authentication,
  storage: Storage,
  limits: Limits,
  session: Session,
  shutdown: Shutdown,
  log: Log
})

/** The whole configuration, as the broker uses it. */
export type Config = typeof ConfigSchema.Type
