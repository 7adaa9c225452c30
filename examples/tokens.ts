/**
 * Tokens and passwords side by side: a chain of the built-in methods behind a guard. The token's claims say
 * which tenant its bearer belongs to and what it may do: two tenants use one topic and hear nothing of each
 * other. The connection ends when the token expires.
 */

import { createHmac, randomBytes } from "node:crypto"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { connectAsync } from "mqtt"
import { Authenticator } from "../src/auth/Authenticator.ts"
import { Authorizer } from "../src/auth/Authorizer.ts"
import { anonymousMethod, chain } from "../src/auth/Chain.ts"
import { Backoff } from "../src/auth/guard/Backoff.ts"
import { BanList } from "../src/auth/guard/BanList.ts"
import { guarded } from "../src/auth/guard/Guard.ts"
import { keySetOfSecret } from "../src/auth/jwt/JwtKeySet.ts"
import { keysOf } from "../src/auth/jwt/JwtKeys.ts"
import { jwtMethod } from "../src/auth/jwt/JwtMethod.ts"
import { Broker } from "../src/Broker.ts"
import { EventSink } from "../src/events/EventSink.ts"
import { layerMemory } from "../src/storage/memory.ts"
import { ClientBalancer } from "../src/tenant/ClientBalancer.ts"
import { TenantDirectory } from "../src/tenant/TenantDirectory.ts"
import { defaultTenantSettings } from "../src/tenant/TenantSettings.ts"
import { tcpListener } from "../src/transport/Tcp.ts"
import { Transports } from "../src/transport/Transport.ts"

const secret = randomBytes(32).toString("hex")

/** What an identity provider does. */
const issue = (claims: object): string => {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url")
  const signed = `${part({ alg: "HS256" })}.${part(claims)}`
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`
}

const authenticator = Layer.effect(
  Authenticator,
  Effect.gen(function* () {
    const keys = yield* keySetOfSecret(secret)
    const clock = yield* Effect.clock
    const tokens = jwtMethod({
      algorithm: "HS256",
      keys: keysOf(() => keys),
      issuer: "https://login.example.com",
      audience: "",
      leewayMs: 0,
      isExpiryRequired: true,
      claims: { tenant: "tenant", principal: "sub", clientId: "", rules: "rules" }
    })
    const backoff = { failuresFree: 10, firstWaitMs: 1000, waitMsMax: 60_000, keysMax: 10_000 }
    return guarded(chain([tokens, anonymousMethod("loopback")], { timeoutMs: 5000 }), {
      bans: yield* BanList,
      addresses: new Backoff(backoff),
      users: new Backoff(backoff),
      nowMs: () => clock.unsafeCurrentTimeMillis()
    })
  })
).pipe(Layer.provide(BanList.layer))

const broker = Broker.layer().pipe(
  Layer.provide([
    authenticator,
    Authorizer.layerGranted,
    ClientBalancer.layerStay,
    EventSink.layerLog,
    layerMemory(),
    TenantDirectory.layerTable(() => defaultTenantSettings),
    Layer.succeed(Transports, [tcpListener({ name: "tcp", hostname: "127.0.0.1", port: 0 })])
  ])
)

const program = Effect.gen(function* () {
  const { listening } = yield* Broker
  const url = `mqtt://127.0.0.1:${listening[0]?.port}`
  const nowS = Math.floor((yield* Clock.currentTimeMillis) / 1000)
  yield* Effect.promise(async () => {
    const tokenFor = (tenant: string, action: string, seconds: number) =>
      issue({
        iss: "https://login.example.com",
        sub: "lamp",
        tenant,
        exp: nowS + seconds,
        rules: [{ action, topicFilter: "lamps/#" }]
      })
    const connect = (token: string) =>
      connectAsync(url, { protocolVersion: 5, username: "lamp", password: token, reconnectPeriod: 0 })
    const neighbour = await connect(tokenFor("globex", "all", 60))
    const heard = new Promise((resolve) => neighbour.once("message", (_, payload) => resolve(payload)))
    await neighbour.subscribeAsync("lamps/#", { qos: 1 })
    const token = tokenFor("acme", "publish", 3)
    const lamp = await connect(token)
    await lamp.publishAsync("lamps/1", "on", { qos: 1 })
    console.log("lamp published to lamps/1")
    await neighbour.publishAsync("lamps/1", "off", { qos: 1 })
    console.log(`the first that globex hears of lamps/1: ${await heard}`)
    await neighbour.endAsync()
    const refused = await lamp.publishAsync("doors/1", "open", { qos: 1 }).then(String, String)
    console.log(`lamp to doors/1: ${refused}`)
    const forged = connectAsync(url, { username: "lamp", password: `${token}x` }, false)
    console.log(`forged: ${await forged.then(String, String)}`)
    const { reasonCode } = await new Promise<{ reasonCode?: number }>((resolve) =>
      lamp.once("disconnect", resolve)
    )
    console.log(`the token has expired: 0x${reasonCode?.toString(16)}`)
  })
})

await Effect.runPromise(Effect.provide(program, broker))
