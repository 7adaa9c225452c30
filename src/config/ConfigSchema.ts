/** Every key of the configuration, with its meaning, its default and what it accepts. */

import * as Schema from "effect/Schema"
import { describe, duration, integer, oneOf, size, text } from "../values/Key.ts"
import { Authentication } from "./AuthenticationSchema.ts"
import { Authorization } from "./AuthorizationSchema.ts"
import { Control } from "./ControlSchema.ts"
import { Events } from "./EventsSchema.ts"
import { Listeners } from "./ListenerSchema.ts"
import { Metrics, Tracing } from "./TelemetrySchema.ts"
import { Session, Tenancy, Tenants } from "./TenantsSchema.ts"

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

const Shutdown = Schema.Struct({
  drain: describe(duration(0, 3_600_000), "Time that clients get to leave before the broker ends", "10s")
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
  authorization: Authorization,
  storage: Storage,
  limits: Limits,
  session: Session,
  tenancy: Tenancy,
  tenants: Tenants,
  events: Events,
  control: Control,
  metrics: Metrics,
  tracing: Tracing,
  shutdown: Shutdown,
  log: Log
})

/** The whole configuration, as the broker uses it. */
export type Config = typeof ConfigSchema.Type
