import { expect, test } from "bun:test"
import { Authenticator } from "../../src/auth/Authenticator.ts"
import { raw } from "../support/raw.ts"
import { withBroker } from "../support/testBroker.ts"

test("a client that is refused for being anonymous is told the setting that says so", () =>
  withBroker({ authenticator: Authenticator.layerAnonymous("never") }, async (broker) => {
    const client = broker.open(5)
    await client.send(raw.connect({ version: 5, clientId: "c" }))
    const connack = await client.expect("connack")
    expect(connack.reasonCode).toBe(0x87)
    expect(connack.properties?.reasonString).toContain("authentication.anonymous is never")
    await client.expectClosed()
  }))
