/**
 * Every row of `rules.ts` on the wire: the violation is answered with the reason code of its rule and the
 * connection closes. The counterparts prove that the packets are good but for the violation.
 */

import { afterAll, describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Authenticator } from "../../../src/auth/Authenticator.ts"
import { DEFAULT_TENANT } from "../../../src/tenant/TenantDirectory.ts"
import type { TenantSettings } from "../../../src/tenant/TenantSettings.ts"
import { concat, properties, type RawConnect, raw } from "../../support/raw.ts"
import { TestBroker } from "../../support/testBroker.ts"
import { authenticationMethod, carriers, propertyRows } from "./properties.ts"
import { companions, rules } from "./rules.ts"

const accepted = { _tag: "Accepted", tenant: DEFAULT_TENANT, principal: "somebody" } as const

/** Everybody is let in, with or without an Authentication Method. */
const authenticator = Layer.succeed(Authenticator, {
  authenticate: () => Effect.succeed(accepted),
  reauthenticate: () => Effect.succeed(accepted)
})

/** One broker for all rows with the same settings. */
const brokers = new Map<string, Promise<TestBroker>>()

const brokerWith = (settings: Partial<TenantSettings> = {}): Promise<TestBroker> => {
  const key = JSON.stringify(settings)
  const broker = brokers.get(key) ?? TestBroker.start({ settings, authenticator })
  brokers.set(key, broker)
  return broker
}

afterAll(async () => {
  for (const broker of brokers.values()) await (await broker).stop()
})

/** A CONNECT after which every packet of a client may come. */
const willing: RawConnect = {
  properties: concat(
    properties.sessionExpiryInterval(60),
    properties.authenticationMethod(authenticationMethod)
  )
}

const isConnect = (bytes: Uint8Array): boolean => bytes[0] === 0x10

describe("every rule without a number", () => {
  test.each(rules.map((rule) => [`[5.0 ${rule.section}] ${rule.rule}`, rule] as const))(
    "%s",
    async (_, rule) => {
      const broker = await brokerWith(rule.settings)
      if (rule.expected._tag === "Connack") {
        const client = broker.open(5)
        await client.send(rule.bytes)
        const connack = await client.expect("connack")
        expect(connack.reasonCode).toBe(rule.expected.reasonCode)
        expect(connack.sessionPresent).toBe(false)
        return client.expectClosed()
      }
      const client = await broker.connect({ version: 5, clientId: "offender", ...(rule.connect ?? willing) })
      await client.send(rule.bytes)
      const disconnect = await client.expect("disconnect")
      expect(disconnect.reasonCode).toBe(rule.expected.reasonCode)
      await client.expectClosed()
    }
  )

  test("the list has no row twice", () => {
    expect(new Set(rules.map((rule) => `${rule.section} ${rule.rule}`)).size).toBe(rules.length)
  })
})

const allowed = carriers.flatMap((row) =>
  propertyRows
    .filter((property) => property.carriers.includes(row.carrier))
    .map(
      (property) => [`[5.0 ${row.section}] ${row.carrier} may have ${property.name}`, row, property] as const
    )
)

describe("what the rules leave", () => {
  test.each(allowed)("%s", async (_, { build, carrier }, property) => {
    const broker = await brokerWith()
    const repeated = property.repeats === true ? concat(property.bytes, property.bytes) : property.bytes
    const bytes = build(concat(companions(carrier, property.name), repeated))
    if (isConnect(bytes)) {
      const client = broker.open(5)
      await client.send(bytes)
      await client.connected()
      return client.quiet()
    }
    const client = await broker.connect({ version: 5, clientId: "good", ...willing })
    if (carrier === "DISCONNECT") {
      await client.send(bytes)
      return client.expectClosed()
    }
    await client.send(bytes, raw.pingreq())
    const answers = []
    for (let packet = await client.next(); packet?.cmd !== "pingresp"; packet = await client.next()) {
      answers.push(packet?.cmd ?? "closed")
      if (packet === undefined) break
    }
    expect(answers).not.toContain("disconnect")
    expect(answers).not.toContain("closed")
  })

  test.each([1, 127, 128, 268_435_455])(
    "[5.0 3.8.2.1.2] Subscription Identifier %d is good",
    async (identifier) => {
      const broker = await brokerWith()
      const client = await broker.connect({ version: 5, clientId: "subscriber" })
      const subscription = properties.subscriptionIdentifier(identifier)
      await client.send(raw.subscribe({ version: 5, filters: ["identified"], properties: subscription }))
      expect((await client.expect("suback")).granted).toEqual([0])
      await client.send(raw.publish({ version: 5, topic: "identified" }))
      expect((await client.expect("publish")).properties?.subscriptionIdentifier).toBe(identifier)
    }
  )

  test("[5.0 3.3.2.3.4] the Topic Alias Maximum of CONNACK is itself a good Topic Alias", async () => {
    const broker = await brokerWith()
    const client = await broker.connect({ version: 5, clientId: "aliases" })
    const maximum = client.connack?.properties?.topicAliasMaximum ?? 0
    expect(maximum).toBe(16)
    await client.send(raw.publish({ version: 5, properties: properties.topicAlias(maximum) }))
    await client.send(raw.publish({ version: 5, topic: "", properties: properties.topicAlias(maximum) }))
    await client.quiet()
  })

  test("[5.0 3.1.2.9] a password does not need a user name", async () => {
    const broker = await brokerWith()
    const client = await broker.connect({ version: 5, clientId: "password", password: "secret" })
    await client.quiet()
  })
})
