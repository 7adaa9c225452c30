import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Identity } from "../../src/auth/Authenticator.ts"
import { ClientBalancer, type Redirect } from "../../src/tenant/ClientBalancer.ts"
import { properties, raw, type Version } from "../support/raw.ts"
import { withBroker } from "../support/testBroker.ts"

const sendingTo = (elsewhere: Redirect | undefined, asked: Array<Identity> = []) => ({
  balancer: Layer.succeed(ClientBalancer, {
    redirect: (identity) =>
      Effect.sync(() => {
        asked.push(identity)
        return elsewhere
      })
  })
})

describe("server redirection", () => {
  const redirects: ReadonlyArray<readonly [clause: string, elsewhere: Redirect, code: number]> = [
    ["[MQTT-4.13.2-1] for now", { permanent: false, serverReference: "other:1883" }, 0x9c],
    ["[MQTT-4.13.2-1] for good", { permanent: true, serverReference: "a.example b.example:8883" }, 0x9d],
    ["to a server that the client must know", { permanent: false, serverReference: undefined }, 0x9c]
  ]
  for (const [name, elsewhere, code] of redirects) {
    test(`${name}: CONNACK says where, and the session is left alone`, async () => {
      const asked: Array<Identity> = []
      await withBroker(sendingTo(elsewhere, asked), async (broker) => {
        const client = broker.open(5)
        await client.send(raw.connect({ version: 5, clientId: "c", username: "u" }))
        const connack = await client.expect("connack")
        expect([connack.reasonCode, connack.properties?.serverReference]).toEqual([
          code,
          elsewhere.serverReference
        ])
        await client.expectClosed()
        expect(asked.map(({ clientId, username }) => [clientId, username])).toEqual([["c", "u"]])
        expect(broker.broker.census().sessions).toBe(0)
      })
    })
  }

  test.each<Version>([3, 4])("version %i cannot be told where to go, and stays", (version) =>
    withBroker(sendingTo({ permanent: true, serverReference: "other" }), async (broker) => {
      const client = await broker.connect({ version })
      await client.quiet()
    })
  )

  test("a client that may stay does not disturb, one that is sent away neither", async () => {
    let elsewhere: Redirect | undefined
    const balancer = Layer.succeed(ClientBalancer, { redirect: () => Effect.sync(() => elsewhere) })
    await withBroker({ balancer }, async (broker) => {
      const options = { version: 5, clientId: "c", properties: properties.sessionExpiryInterval(60) } as const
      const here = await broker.connect(options)
      elsewhere = { permanent: false, serverReference: "other" }
      const sentAway = broker.open(5)
      await sentAway.send(raw.connect(options))
      await sentAway.expect("connack")
      await sentAway.expectClosed()
      await here.quiet()
    })
  })
})
