/** Tokens: which are genuine, what their claims mean, and that no other token gets anybody in. */

import { describe, expect, test } from "bun:test"
import { generateKeyPairSync } from "node:crypto"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Layer from "effect/Layer"
import { Authenticator, secretBytes } from "../../../src/auth/Authenticator.ts"
import { Authorizer } from "../../../src/auth/Authorizer.ts"
import { chain } from "../../../src/auth/Chain.ts"
import { type JwtAlgorithm, parseJwt } from "../../../src/auth/jwt/Jwt.ts"
import { keySetOfSecret, keySetOfText } from "../../../src/auth/jwt/JwtKeySet.ts"
import { keysOf } from "../../../src/auth/jwt/JwtKeys.ts"
import { type JwtMethodOptions, jwtMethod } from "../../../src/auth/jwt/JwtMethod.ts"
import { credentials, identityOf, tell } from "../../support/credentials.ts"
import { run } from "../../support/effect.ts"
import { ManualClock } from "../../support/manualClock.ts"
import { concat, properties, raw } from "../../support/raw.ts"
import { withBroker } from "../../support/testBroker.ts"
import { hs256, signedBy, type Token, unsigned } from "../../support/tokens.ts"

const NOW_S = 1_800_000_000
const SECRET = "a secret of at least thirty-two bytes"
const pairs = {
  RS256: generateKeyPairSync("rsa", { modulusLength: 2048 }),
  ES256: generateKeyPairSync("ec", { namedCurve: "P-256" }),
  EdDSA: generateKeyPairSync("ed25519")
}
const pemOf = (algorithm: keyof typeof pairs): string =>
  pairs[algorithm].publicKey.export({ type: "spki", format: "pem" }).toString()

const sound: Token = { claims: { sub: "ada", tenant: "acme", exp: NOW_S + 60 } }
const withClaims = (claims: Readonly<Record<string, unknown>>): Token => ({
  claims: { ...sound.claims, ...claims }
})

const methodWith = async (
  options: Partial<Omit<JwtMethodOptions, "claims">> & {
    readonly claims?: Partial<JwtMethodOptions["claims"]>
  } = {}
) => {
  const secret = await run(keySetOfSecret(SECRET))
  return jwtMethod({
    algorithm: "HS256",
    keys: keysOf(() => secret),
    issuer: "",
    audience: "",
    leewayMs: 0,
    isExpiryRequired: true,
    ...options,
    claims: { tenant: "tenant", principal: "sub", clientId: "", rules: "", ...options.claims }
  })
}

const clock = new ManualClock()
const say = (method: Awaited<ReturnType<typeof methodWith>>, token: string, clientId = "client") =>
  tell(
    Effect.withClock(method.authenticate(credentials({ password: token, username: "x", clientId })), clock)
  )

describe("the signature of a token", () => {
  for (const algorithm of ["RS256", "ES256", "EdDSA"] as const) {
    const { privateKey } = pairs[algorithm]
    const forms = {
      "a PEM file": pemOf(algorithm),
      "a key set": JSON.stringify({
        keys: [
          { kty: "unheard-of" },
          ...Object.values(pairs).map(({ publicKey }) => ({
            kid: "k1",
            ...publicKey.export({ format: "jwk" })
          }))
        ]
      })
    }
    for (const [form, text] of Object.entries(forms)) {
      test(`${algorithm} by ${form}`, async () => {
        const keys = await run(keySetOfText(text, algorithm))
        const method = await methodWith({ algorithm, keys: keysOf(() => keys) })
        expect(await say(method, signedBy(privateKey, sound))).toBe("acme/ada")
        expect(await say(method, signedBy(privateKey, { ...sound, header: { kid: "k1" } }))).toBe("acme/ada")
        const [head, , signature] = signedBy(privateKey, sound).split(".")
        const [, forged] = signedBy(privateKey, withClaims({ sub: "grace" })).split(".")
        expect(await say(method, `${head}.${forged}.${signature}`)).toBe("0x86")
        const stranger = signedBy(
          generateKeyPairSync(
            ...((algorithm === "RS256"
              ? ["rsa", { modulusLength: 2048 }]
              : algorithm === "ES256"
                ? ["ec", { namedCurve: "P-256" }]
                : ["ed25519"]) as ["ed25519"])
          ).privateKey,
          sound
        )
        expect(await say(method, stranger)).toBe("0x86")
      })
    }
  }

  test("HS256 by a secret", async () => {
    const method = await methodWith()
    expect(await say(method, hs256(SECRET, sound))).toBe("acme/ada")
    expect(await say(method, hs256(`${SECRET}?`, sound))).toBe("0x86")
  })

  test("of no algorithm, or another than the configured one, is none", async () => {
    const keys = await run(keySetOfText(pemOf("RS256"), "RS256"))
    const method = await methodWith({ algorithm: "RS256", keys: keysOf(() => keys) })
    expect(await say(method, unsigned(sound))).toBe("0x86")
    expect(await say(method, unsigned({ ...sound, header: { alg: "RS256" } }))).toBe("0x86")
    // The public key is no secret.
    for (const header of [{}, { alg: "RS256" }]) {
      expect(await say(method, hs256(pemOf("RS256"), { ...sound, header }))).toBe("0x86")
    }
    expect(await say(method, signedBy(pairs.ES256.privateKey, sound))).toBe("0x86")
  })

  test("with an extension that must be understood is none", async () => {
    const method = await methodWith()
    expect(await say(method, hs256(SECRET, { ...sound, header: { crit: ["b64"], b64: false } }))).toBe("0x86")
  })
})

describe("keys", () => {
  const problem = async (text: string, algorithm: JwtAlgorithm) =>
    Either.getOrElse(await run(Effect.either(keySetOfText(text, algorithm))), (wrong) => wrong)
  const short = generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey
  const rows: ReadonlyArray<readonly [name: string, text: string, algorithm: JwtAlgorithm, problem: string]> =
    [
      ["nothing", "", "RS256", "holds no public key"],
      [
        "a private key",
        pairs.RS256.privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
        "RS256",
        "holds a private key: give the public key alone"
      ],
      ["a key of another kind", pemOf("RS256"), "ES256", "holds no key for ES256"],
      [
        "a public key for a secret",
        pemOf("RS256"),
        "HS256",
        "is not a secret, and algorithm HS256 wants one"
      ],
      [
        "a short key",
        short.export({ type: "spki", format: "pem" }).toString(),
        "RS256",
        "holds a key of 1024 bits; RS256 wants at least 2048"
      ],
      ["half a set", '{"keys": [', "RS256", "is not JSON"],
      ["no set", '{"kty": "RSA"}', "RS256", "is not a key set: it has no list of keys"],
      ["an empty set", '{"keys": []}', "RS256", "holds no key for RS256"]
    ]
  for (const [name, text, algorithm, wrong] of rows) {
    test(`are not found in ${name}`, async () => expect(await problem(text, algorithm)).toBe(wrong))
  }

  test("are not made of a short secret", async () => {
    expect((await run(Effect.either(keySetOfSecret("x".repeat(31)))))._tag).toBe("Left")
  })
})

describe("the claims of a token", () => {
  type Options = Parameters<typeof methodWith>[0]
  const rules = { claims: { rules: "acl" } }
  const rows: ReadonlyArray<
    readonly [name: string, options: Options, claims: Token["claims"], result: string]
  > = [
    ["expired", {}, { exp: NOW_S }, "0x86"],
    ["expired within the leeway", { leewayMs: 1000 }, { exp: NOW_S }, "acme/ada"],
    ["never expiring", {}, { exp: undefined }, "0x86"],
    ["never expiring, where that may be", { isExpiryRequired: false }, { exp: undefined }, "acme/ada"],
    ["expiring at no time", { isExpiryRequired: false }, { exp: "never" }, "0x86"],
    ["expiring beyond time", {}, { exp: 1e300 }, "0x86"],
    ["valid from now on", {}, { nbf: NOW_S }, "acme/ada"],
    ["not valid yet", {}, { nbf: NOW_S + 1 }, "0x86"],
    ["not valid yet, within the leeway", { leewayMs: 1000 }, { nbf: NOW_S + 1 }, "acme/ada"],
    ["valid from no time on", {}, { nbf: "now" }, "0x86"],
    ["of the issuer", { issuer: "i" }, { iss: "i" }, "acme/ada"],
    ["of another issuer", { issuer: "i" }, { iss: "I" }, "0x86"],
    ["of no issuer", { issuer: "i" }, {}, "0x86"],
    ["for the audience", { audience: "a" }, { aud: "a" }, "acme/ada"],
    ["for the audience among others", { audience: "a" }, { aud: ["b", "a"] }, "acme/ada"],
    ["for another audience", { audience: "a" }, { aud: "ab" }, "0x86"],
    ["for no audience", { audience: "a" }, {}, "0x86"],
    ["without tenant", {}, { tenant: undefined }, "0x86"],
    ["with an empty tenant", {}, { tenant: "" }, "0x86"],
    ["with a tenant that is no name", {}, { tenant: { toString: "acme" } }, "0x86"],
    ["with a tenant nobody asks for", { claims: { tenant: "" } }, {}, "default/ada"],
    [
      "with a tenant further in",
      { claims: { tenant: "realm.name" } },
      { realm: { name: "acme" } },
      "acme/ada"
    ],
    ["with a tenant by a URL", { claims: { tenant: "https://a.b/t" } }, { "https://a.b/t": "x" }, "x/ada"],
    ["with a tenant of Object's", { claims: { tenant: "constructor.name" } }, {}, "0x86"],
    ["without principal", {}, { sub: undefined }, "0x86"],
    ["for this client", { claims: { clientId: "cid" } }, { cid: "client" }, "acme/ada"],
    ["for this client among others", { claims: { clientId: "cid" } }, { cid: ["x", "client"] }, "acme/ada"],
    ["for another client", { claims: { clientId: "cid" } }, { cid: "clien" }, "0x87"],
    ["for no client", { claims: { clientId: "cid" } }, {}, "0x87"],
    ["with rules", rules, { acl: [{ action: "publish", topicFilter: "a/#" }] }, "acme/ada"],
    ["without rules", rules, {}, "0x86"],
    [
      "with a rule for some",
      rules,
      { acl: [{ action: "all", topicFilter: "a", qos: [0], shared: "g" }] },
      "acme/ada"
    ],
    ["with a misspelt rule", rules, { acl: [{ action: "all", topicFilter: "a", Qos: [0] }] }, "0x86"],
    ["with rules that are none", rules, { acl: [{ action: "publish" }] }, "0x86"],
    ["with rules of a bad filter", rules, { acl: [{ action: "publish", topicFilter: "a/#/b" }] }, "0x86"],
    ["with rules of a share", rules, { acl: [{ action: "all", topicFilter: "$share/g/a" }] }, "0x86"]
  ]
  for (const [name, options, claims, result] of rows) {
    test(`${name}: ${result}`, async () => {
      expect(await say(await methodWith(options), hs256(SECRET, withClaims(claims)))).toBe(result)
    })
  }

  test("for a client do not hold for one that wants to be given its identifier", async () => {
    const method = await methodWith({ claims: { clientId: "cid" } })
    expect(await say(method, hs256(SECRET, withClaims({ cid: "" })), "")).toBe("0x87")
  })
})

describe("what is no token", () => {
  test("is another method's", async () => {
    const method = await methodWith()
    for (const password of [
      "",
      "secret",
      "a.b.c",
      "..",
      "e30.e30.",
      "bnVsbA.e30.x",
      `${hs256(SECRET, sound)}.`
    ]) {
      expect(await say(method, password)).toBe("NotMine")
    }
    expect(await tell(method.authenticate(credentials({})))).toBe("NotMine")
    expect(await tell(method.authenticate(credentials({ authenticationMethod: "M" })))).toBe("NotMine")
  })

  test("whatever it is, is never taken for one", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.uint8Array({ maxLength: 64 }), (bytes) => {
        expect(parseJwt(bytes)?.algorithm).toBeUndefined()
      })
    )
  })
})

describe("a token by enhanced authentication", () => {
  const data = (token: string) => ({
    authenticationMethod: "OAUTH2-JWT",
    authenticationData: Buffer.from(token)
  })

  test("is the authentication data, and nothing else will do", async () => {
    const method = await methodWith()
    const ask = (presented: Parameters<typeof credentials>[0]) =>
      tell(Effect.withClock(method.authenticate(credentials(presented)), clock))
    expect(await ask(data(hs256(SECRET, sound)))).toBe("acme/ada")
    expect(await ask(data("guess"))).toBe("0x86")
    expect(await ask({ authenticationMethod: "OAUTH2-JWT" })).toBe("0x86")
  })

  test("renews itself on a live connection", async () => {
    const method = await methodWith()
    const again = (name: string, token: string) =>
      tell(
        Effect.withClock(
          method.reauthenticate?.(identityOf("ada", "acme"), name, secretBytes(Buffer.from(token))) ??
            Effect.die("none"),
          clock
        )
      )
    expect(await again("OAUTH2-JWT", hs256(SECRET, sound))).toBe("acme/ada")
    expect(await again("OAUTH2-JWT", hs256(SECRET, withClaims({ exp: 0 })))).toBe("0x86")
    expect(await again("M", hs256(SECRET, sound))).toBe("NotMine")
  })
})

test("on a broker: in by the token, held to its rules, renewed, out when it expires", async () => {
  const method = await methodWith({ claims: { tenant: "", rules: "acl" } })
  const authenticator = Layer.succeed(Authenticator, chain([method], { timeoutMs: 5000 }))
  const token = (exp: number, topicFilter: string): string =>
    hs256(SECRET, { claims: { sub: "ada", exp, acl: [{ action: "all", topicFilter }] } })
  await withBroker({ authenticator, authorizer: Authorizer.layerGranted }, async (broker) => {
    const method = properties.authenticationMethod("OAUTH2-JWT")
    const presenting = (text: string) => concat(method, properties.authenticationData(text))
    const client = await broker.connect({ version: 5, properties: presenting(token(NOW_S + 60, "a/#")) })
    await client.send(raw.publish({ version: 5, topic: "b", qos: 1, packetId: 1 }))
    expect((await client.expect("puback")).reasonCode).toBe(0x87)
    await client.publish("a/b")
    await broker.advance(50_000)
    await client.send(raw.auth({ reasonCode: 0x19, properties: presenting(token(NOW_S + 120, "b")) }))
    expect((await client.expect("auth")).reasonCode).toBe(0)
    await client.publish("b")
    await broker.advance(60_000)
    await client.quiet()
    await broker.advance(11_000)
    expect((await client.expect("disconnect")).reasonCode).toBe(0xa0)

    const old = broker.open(4)
    await old.send(raw.connect({ username: "ada", password: token(NOW_S + 60, "a") }))
    expect((await old.expect("connack")).returnCode).toBe(4)
  })
})
