/** Sessions, what waits for their clients, and wills. */

import { boolean, integer, oneOf, seconds, size } from "../../values/Key.ts"
import { countMax, setting, sizeMax } from "./Setting.ts"

/** Session Expiry Interval of a session that never expires. (5.0, section 3.1.2.11.2) */
export const NEVER_EXPIRES = 0xffff_ffff

const never = { never: NEVER_EXPIRES }

export const sessionSettings = {
  sessionExpiryIntervalMax: setting(seconds(NEVER_EXPIRES, never), {
    default: NEVER_EXPIRES,
    meaning: "Longest time that a session is kept for an absent client; 4294967295 is for ever",
    unit: "seconds",
    applies: "next connect",
    bifromq: ["MaxSessionExpirySeconds"]
  }),
  sessionExpiryIntervalMin: setting(seconds(NEVER_EXPIRES, never), {
    default: 0,
    meaning: "Shortest, for a client that asks for more than 0",
    unit: "seconds",
    applies: "next connect",
    bifromq: ["MinSessionExpirySeconds"]
  }),
  forceTransient: setting(boolean, {
    default: false,
    meaning: "Every session ends with its connection",
    applies: "next connect",
    bifromq: ["ForceTransient"]
  }),
  inflightMax: setting(integer(1, 65_535), {
    default: 1000,
    meaning:
      "QoS 1 and 2 messages that the broker has unacknowledged at a client, however many it would take",
    unit: "messages",
    applies: "next connect"
  }),
  queueMessagesMax: setting(integer(0, countMax), {
    default: 10_000,
    meaning: "Messages that wait for one session",
    unit: "messages",
    applies: "live",
    bifromq: ["SessionInboxSize"]
  }),
  queueBytesMax: setting(size(0, sizeMax), {
    default: 16 * 1024 * 1024,
    meaning: "Payload that waits for one session",
    unit: "bytes",
    applies: "live"
  }),
  queuePolicy: setting(oneOf("drop-oldest", "drop-newest", "disconnect"), {
    default: "drop-oldest",
    meaning: "What happens when a session's queue is full",
    applies: "live"
  }),
  tenantQueueBytesMax: setting(size(0, sizeMax), {
    default: 16 * 1024 * 1024 * 1024,
    meaning: "Payload that waits for all of a tenant's sessions together; one message more is dropped",
    unit: "bytes",
    applies: "live"
  }),
  queueQos0: setting(boolean, {
    default: false,
    meaning: "Queue QoS 0 messages for absent clients as well",
    applies: "live"
  }),
  qos0DropOldest: setting(boolean, {
    default: false,
    meaning: "In a full queue the oldest QoS 0 message gives way, rather than the newest",
    applies: "live",
    bifromq: ["QoS0DropOldest"]
  }),
  outboundBytesMax: setting(size(1024, sizeMax), {
    default: 1024 * 1024,
    meaning: "Bytes that wait for a slow client's socket before QoS 0 messages to it are dropped",
    unit: "bytes",
    applies: "live"
  }),
  stalledAfter: setting(seconds(86_400), {
    default: 30,
    meaning: "Time after which a client is reported that does not acknowledge what it was sent; 0 is never",
    unit: "seconds",
    applies: "live"
  }),
  durability: setting(oneOf("memory", "os", "disk"), {
    default: "disk",
    meaning: "What an acknowledged message survives: nothing, a killed process, a power cut",
    applies: "live"
  }),
  willBytesMax: setting(size(0, 65_535), {
    default: 65_535,
    meaning: "Payload of a will",
    unit: "bytes",
    applies: "next connect",
    bifromq: ["MaxLastWillBytes"]
  }),
  willDelayIntervalMax: setting(seconds(NEVER_EXPIRES), {
    default: NEVER_EXPIRES,
    meaning: "Longest delay of a will",
    unit: "seconds",
    applies: "live"
  }),
  willsAtShutdown: setting(oneOf("publish", "suppress"), {
    default: "publish",
    meaning: "What becomes of the wills of clients that the broker disconnects at its end",
    applies: "live",
    bifromq: ["NoLWTWhenServerShuttingDown"]
  })
} as const
