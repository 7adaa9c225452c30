/** Events for tests of sinks. */

import type { Event } from "../../src/events/Event.ts"

export const ended = (clientId: string, tenant = "acme"): Event => ({
  _tag: "SessionEnded",
  tenant,
  clientId,
  reason: "expired"
})

export const dropped = (topic: string, tenant = "acme"): Event => ({
  _tag: "MessageDropped",
  tenant,
  clientId: "c",
  topic,
  qos: 0,
  reason: "queue-full",
  count: 1
})

export const refusedConnect = (clientId: string, tenant?: string): Event => ({
  _tag: "ConnectRefused",
  listener: "tcp",
  transport: "tcp",
  address: "192.0.2.1",
  tenant,
  clientId,
  cause: "not-authorized",
  reasonCode: 0x87,
  reason: "not here"
})

export const pinged: Event = { _tag: "PingReceived", tenant: "acme", clientId: "c" }

export const clientOf = (event: Event): string => ("clientId" in event ? event.clientId : event._tag)
