/**
 * Enhanced authentication (MQTT 5.0, section 4.12): a challenge and an answer by AUTH packets before CONNACK.
 * The client proves that it knows a key without sending it: an HMAC over a nonce of the server's.
 */

import { createHmac, randomBytes, timingSafeEqual } from "node:crypto"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { connect } from "mqtt"
import { type AuthenticationStep, Authenticator, bytesOf, unknownMethod } from "../src/auth/Authenticator.ts"
import { Authorizer } from "../src/auth/Authorizer.ts"
import { Broker } from "../src/Broker.ts"
import { EventSink } from "../src/events/EventSink.ts"
import { ReasonCode } from "../src/protocol/ReasonCode.ts"
import { layerMemory } from "../src/storage/memory.ts"
import { ClientBalancer } from "../src/tenant/ClientBalancer.ts"
import { DEFAULT_TENANT, TenantDirectory } from "../src/tenant/TenantDirectory.ts"
import { tcpListener } from "../src/transport/Tcp.ts"
import { Transports } from "../src/transport/Transport.ts"

const METHOD = "HMAC-NONCE"
const keys = new Map([["thermostat", "a shared secret"]])

const proof = (key: string, nonce: Uint8Array): Buffer => createHmac("sha256", key).update(nonce).digest()

const refused: AuthenticationStep = {
  _tag: "Refused",
  reasonCode: ReasonCode.NotAuthorized,
  reason: "wrong proof"
}

/** Sends a nonce and judges the answer. */
const challenge = (principal: string, key: string): AuthenticationStep => {
  const nonce = randomBytes(32)
  const expected = proof(key, nonce)
  return {
    _tag: "Challenge",
    authenticationData: nonce,
    respond: (answer) =>
      Effect.sync(() => {
        const given = bytesOf(answer)
        const isRight = given?.length === expected.length && timingSafeEqual(given, expected)
        return isRight ? { _tag: "Accepted", tenant: DEFAULT_TENANT, principal } : refused
      })
  }
}

const begin = (method: string | undefined, name: string): AuthenticationStep => {
  if (method !== METHOD) return unknownMethod
  const key = keys.get(name)
  return key === undefined ? refused : challenge(name, key)
}

const authenticator = Layer.succeed(Authenticator, {
  authenticate: ({ authenticationMethod, clientId }) =>
    Effect.sync(() => begin(authenticationMethod, clientId)),
  reauthenticate: ({ principal }, method) => Effect.sync(() => begin(method, principal))
})

const broker = Broker.layer().pipe(
  Layer.provide([
    authenticator,
    Authorizer.layerAllowAll,
    TenantDirectory.layerSingle(),
    ClientBalancer.layerStay,
    EventSink.layerLog,
    layerMemory(),
    Layer.succeed(Transports, [tcpListener({ name: "tcp", hostname: "127.0.0.1", port: 0 })])
  ])
)

const program = Effect.gen(function* () {
  const { listening } = yield* Broker
  yield* Effect.promise(async () => {
    const client = connect(`mqtt://127.0.0.1:${listening[0]?.port}`, {
      clientId: "thermostat",
      protocolVersion: 5,
      reconnectPeriod: 0,
      properties: { authenticationMethod: METHOD }
    })
    client.handleAuth = (packet, answer) => {
      const authenticationData = proof(
        "a shared secret",
        packet.properties?.authenticationData ?? Buffer.alloc(0)
      )
      answer(undefined, {
        cmd: "auth",
        reasonCode: ReasonCode.ContinueAuthentication,
        properties: { authenticationMethod: METHOD, authenticationData }
      })
    }
    await new Promise((resolve, reject) => client.once("connect", resolve).once("error", reject))
    console.log(`connected by ${METHOD}: ${client.connected}`)
    await client.endAsync()
  })
})

await Effect.runPromise(Effect.provide(program, broker))
