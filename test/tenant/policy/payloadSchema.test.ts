import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { composed } from "../../../src/tenant/policy/composed.ts"
import { payloadSchema } from "../../../src/tenant/policy/payloadSchema.ts"
import { TenantPolicy } from "../../../src/tenant/policy/TenantPolicy.ts"
import { raw, type Version } from "../../support/raw.ts"
import { withBroker } from "../../support/testBroker.ts"

const Reading = Schema.Struct({
  sensor: Schema.NonEmptyString,
  celsius: Schema.Number.pipe(Schema.between(-60, 60))
})

const Known = Schema.Struct({ id: Schema.String }).pipe(
  Schema.filterEffect(({ id }) =>
    Effect.as(Effect.yieldNow(), id === "known" || "an id that is known is wanted")
  )
)

const policy = TenantPolicy.layer(
  composed(payloadSchema("readings/#", Reading), payloadSchema("known/+", Known))
)

const rows: ReadonlyArray<
  readonly [topic: string, payload: string | Uint8Array, reason: string | undefined]
> = [
  ["readings/1", '{"sensor":"a","celsius":20}', undefined],
  ["readings/1", '{"sensor":"a","celsius":20,"more":true}', undefined],
  ["readings", '{"sensor":"a","celsius":-60}', undefined],
  ["other", "what you like", undefined],
  ["readings/1", "", undefined],
  ["readings/1", "20", "Expected { readonly sensor: NonEmptyString; readonly celsius: between(-60, 60) }"],
  ["readings/1", "{", "it is no JSON"],
  ["readings/1", new Uint8Array([0x22, 0xff, 0x22]), "it is no JSON"],
  ["readings/1", '{"sensor":"a"}', "celsius: is missing"],
  ["readings/1", '{"sensor":"","celsius":1}', "sensor: Expected a non empty string"],
  ["readings/1", '{"sensor":"a","celsius":61}', "celsius: Expected a number between -60 and 60"],
  ["known/1", '{"id":"known"}', undefined],
  ["known/1", '{"id":"secret"}', "an id that is known is wanted"]
]

const versions: ReadonlyArray<Version> = [4, 5]

describe.each(versions)("payloadSchema, version %d", (version) => {
  test.each([...rows])("to %s, %j: %j", (topic, payload, reason) =>
    withBroker({ policy }, async (broker) => {
      const watcher = await broker.connect({ version: 5, clientId: "watcher" })
      await watcher.subscribe("#")
      const client = await broker.connect({ version })
      await client.send(raw.publish({ version, topic, payload, qos: 1, packetId: 1 }))
      const { properties, reasonCode = 0 } = await client.expect("puback")
      if (reason === undefined) {
        expect(reasonCode).toBe(0)
        expect((await watcher.expect("publish")).payload).toEqual(Buffer.from(payload))
        return
      }
      await watcher.quiet()
      const whole = `the payload is not as it has to be: ${reason}`
      expect(broker.eventsOf("PublishRefused")).toMatchObject([{ reasonCode: 0x99, reason: whole }])
      expect(reasonCode).toBe(version === 5 ? 0x99 : 0)
      if (version === 5) expect(properties?.reasonString).toBe(whole)
    })
  )

  test("a will has to be as well", () =>
    withBroker({ policy }, async (broker) => {
      const client = broker.open(version)
      await client.send(raw.connect({ version, will: { topic: "readings/1", payload: "?" } }))
      if (version === 5) expect((await client.expect("connack")).reasonCode).toBe(0x99)
      await client.expectClosed()
    }))
})
