/** Every kind of event is brought about in a broker, and has what it should tell. */

import { describe, expect, test } from "bun:test"
import { join } from "node:path"
import type { Event } from "../../src/events/Event.ts"
import { eventKinds } from "../../src/events/eventKinds.ts"
import { TestBroker } from "../support/testBroker.ts"
import { counterparts, type Expected } from "./bifromq.ts"
import { type Happening, happenings } from "./happenings.ts"

/** What was reported while that happened. */
const eventsOf = async ({ options = {}, play }: Happening): Promise<ReadonlyArray<Event>> => {
  const broker = await TestBroker.start(options)
  try {
    await play(broker)
    return [...broker.events]
  } finally {
    await broker.stop()
  }
}

const expectEvent = async (happening: Happening, expected: Expected): Promise<void> => {
  const events = (await eventsOf(happening)).filter(({ _tag }) => _tag === expected._tag)
  expect(events).toContainEqual(expect.objectContaining(expected))
}

/** Kinds that BifroMQ does not have, and the tests that bring them about. */
const elsewhere: Partial<Readonly<Record<Event["_tag"], string>>> = {
  PolicyFailed: "tenant/policy/publish.test.ts",
  SubscriptionRevoked: "attack/revocation.test.ts",
  TenantChanged: "control/tenantAdmin.test.ts",
  ActorDefect: "router/failure.test.ts",
  EventsLost: "events/bounded.test.ts"
}

describe("BifroMQ's 84 kinds", () => {
  test("are all there", () => {
    expect(Object.keys(counterparts).length).toBe(84)
  })

  for (const [name, counterpart] of Object.entries(counterparts)) {
    if ("cannotHappen" in counterpart) continue
    const { expected, happening } = counterpart
    test(`${name} is ${expected._tag}`, () => expectEvent(happening, expected))
  }
})

const h = happenings
const refused = { _tag: "ConnectRefused" } as const
const left = { _tag: "ClientDisconnected" } as const
const dropped = { _tag: "MessageDropped", count: 1 } as const

/** What is told apart here and not there. */
const more: ReadonlyArray<readonly [name: string, happening: Happening, expected: Expected]> = [
  ["a banned client", h.banned, { ...refused, cause: "banned" }],
  ["an unknown method", h.unknownMethod, { ...refused, cause: "bad-authentication-method" }],
  ["a busy authenticator", h.serverBusy, { ...refused, cause: "server-busy" }],
  ["attempts that come too fast", h.connectsTooFast, { ...refused, cause: "rate-exceeded" }],
  ["a handshake that is given up", h.abortsByLeaving, { ...refused, cause: "authentication-aborted" }],
  ["no CONNECT", h.noConnect, { ...refused, clause: "MQTT-3.1.0-1" }],
  ["a CONNECT against the rules", h.dataWithoutMethod, { ...refused, cause: "protocol-error" }],
  ["a version that is turned off", h.versionTurnedOff, { ...refused, cause: "unsupported-version" }],
  ["a CONNECT that is too large", h.hugeConnect, { ...refused, cause: "packet-too-large" }],
  [
    "a will to where it may not go",
    h.willToForbidden,
    { ...refused, cause: "not-authorized", tenant: "default" }
  ],
  ["a refusal before anybody is known", h.badPassword, { ...refused, tenant: undefined }],
  ["a packet that is too large", h.sendsTooMuch, { ...left, cause: "packet-too-large" }],
  ["an alias that is too high", h.unknownAlias, { ...left, cause: "topic-alias-invalid" }],
  ["a QoS that is not there", h.unsupportedQos, { ...left, cause: "not-supported" }],
  ["a session that is deleted", h.isPurged, { ...left, by: "server", cause: "administrative" }],
  ["credentials that expire", h.credentialsExpire, { ...left, cause: "credentials-expired" }],
  [
    "a retained message that is not retained",
    h.retainsTooMuchUnasked,
    { ...dropped, reason: "retained-quota" }
  ],
  ["too many subscriptions", h.subscribesTooMuch, { _tag: "SubscribeRefused", topicFilter: "b" }],
  ["a message that expires", h.expires, { ...dropped, reason: "expired", clientId: "reader" }],
  ["a message that may not be received", h.mayNotReceive, { ...dropped, reason: "not-authorized", qos: 1 }],
  ["what a group without members had", h.groupIsGone, { ...dropped, reason: "no-members", topic: "a" }],
  ["the tenant's full queue", h.tenantQueueFull, { ...dropped, reason: "tenant-queue-full" }],
  [
    "a session that a clean start discards",
    h.sessionIsReplaced,
    { _tag: "SessionEnded", clientId: "client" }
  ],
  ["a limit that is nearly reached", h.usesUpItsDay, { _tag: "QuotaWarning", resource: "messagesPerDay" }],
  ["a session that expires", h.sessionExpires, { _tag: "SessionEnded", reason: "expired" }]
]

describe("what is told of", () => {
  for (const [name, happening, expected] of more) {
    test(`${name}: ${expected._tag}`, () => expectEvent(happening, expected))
  }

  test("no kind is only declared", async () => {
    const told = new Set(more.map(([, , { _tag }]) => _tag))
    for (const [tag, file] of Object.entries(elsewhere)) {
      expect(await Bun.file(join(import.meta.dir, "..", file)).text()).toContain(tag)
      told.add(tag as Event["_tag"])
    }
    for (const counterpart of Object.values(counterparts)) {
      if ("expected" in counterpart) told.add(counterpart.expected._tag)
    }
    expect(Object.keys(eventKinds).filter((tag) => !told.has(tag as Event["_tag"]))).toEqual([])
  })

  test("single messages and packets: only where the tenant wants it", async () => {
    for (const happening of [h.publishesAndPings, h.retains, h.delivers(2)]) {
      const events = await eventsOf({ ...happening, options: {} })
      expect(events.length).toBeGreaterThan(0)
      expect(events.filter(({ _tag }) => eventKinds[_tag].isDebug)).toEqual([])
    }
  })
})
