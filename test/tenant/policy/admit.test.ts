import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import { encodeProperties } from "../../../src/protocol/Properties.ts"
import { ReasonCode } from "../../../src/protocol/ReasonCode.ts"
import { type Newcomer, TenantPolicy } from "../../../src/tenant/policy/TenantPolicy.ts"
import { type AdmitVerdict, type Answer, allow, refuse } from "../../../src/tenant/policy/Verdict.ts"
import { raw, type Version } from "../../support/raw.ts"
import { withBroker } from "../../support/testBroker.ts"
import { failings, wait } from "./failures.ts"

const versions: ReadonlyArray<Version> = [3, 4, 5]

const policyOf = (admit: (newcomer: Newcomer) => Answer<AdmitVerdict>) => ({
  policy: TenantPolicy.layer({ admit })
})

describe.each(versions)("admit, version %d", (version) => {
  test("the policy sees who is coming, and how", () => {
    const seen: Array<unknown> = []
    const policy = policyOf(({ identity, ...facts }) => {
      seen.push({ clientId: identity.clientId, tenant: identity.tenant, ...facts })
      return allow
    })
    return withBroker(policy, async (broker) => {
      const properties = encodeProperties({ sessionExpiryInterval: 60, userProperties: [["a", "b"]] })
      await broker.connect({ version, clean: false, keepAlive: 30, will: {}, properties })
      expect(seen).toEqual([
        {
          clientId: "client",
          tenant: "default",
          protocolVersion: version,
          cleanStart: false,
          keepAlive: 30,
          sessionExpiryInterval: version === 5 ? 60 : 0xffff_ffff,
          userProperties: version === 5 ? [["a", "b"]] : [],
          hasWill: true
        }
      ])
    })
  })

  test.each([
    ["at once", (verdict: AdmitVerdict) => verdict],
    ["when it has asked somebody", (verdict: AdmitVerdict) => Effect.as(Effect.yieldNow(), verdict)]
  ] as const)("whom the policy refuses, %s, is told, and the session is not touched", (_, answer) =>
    withBroker(
      policyOf(({ keepAlive }) =>
        answer(keepAlive === 1 ? refuse(ReasonCode.NotAuthorized, "too often") : allow)
      ),
      async (broker) => {
        const known = await broker.connect({ version })
        const client = broker.open(version)
        await client.send(raw.connect({ version, keepAlive: 1 }))
        const connack = await client.expect("connack")
        if (version === 5) {
          expect(connack).toMatchObject({ reasonCode: 0x87, properties: { reasonString: "too often" } })
        } else expect(connack.returnCode).toBe(5)
        await client.expectClosed()
        await known.quiet()
        expect(broker.eventsOf("ConnectRefused")).toMatchObject([
          { reasonCode: 0x87, reason: "too often", cause: "refused-by-policy" }
        ])
      }
    )
  )

  test.each([...failings])("a policy that $name lets nobody in, and is counted", (failing) => {
    let isWell = true
    const { answer, hangs = false, reason } = failing
    return withBroker(
      policyOf(() => (isWell ? allow : answer())),
      async (broker) => {
        const known = await broker.connect({ version })
        isWell = false
        const client = broker.open(version)
        await client.send(raw.connect({ version }))
        if (hangs) await wait(broker)
        const connack = await client.expect("connack")
        expect(version === 5 ? connack.reasonCode : connack.returnCode).toBe(version === 5 ? 0x88 : 3)
        await client.expectClosed()
        await known.quiet()
        expect(broker.broker.counters("default")).toMatchObject({ policyFailures: 1 })
        expect(broker.eventsOf("PolicyFailed")).toMatchObject([{ clientId: "client", hook: "admit", reason }])
      }
    )
  })
})

test("a code that CONNACK does not have becomes Not authorized", () =>
  withBroker(
    policyOf(() => refuse(ReasonCode.TopicAliasInvalid, "no")),
    async (broker) => {
      const client = broker.open(5)
      await client.send(raw.connect({ version: 5 }))
      expect((await client.expect("connack")).reasonCode).toBe(0x87)
    }
  ))
