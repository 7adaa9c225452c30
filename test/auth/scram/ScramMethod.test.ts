/** SCRAM-SHA-256: the vectors of RFC 7677, what is refused, and the exchange over MQTT 5. */

import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import { type AuthenticationStep, Authenticator, secretBytes } from "../../../src/auth/Authenticator.ts"
import { chain, type Verdict } from "../../../src/auth/Chain.ts"
import { type PasswordUsers, parsePasswordFile } from "../../../src/auth/password/PasswordFile.ts"
import { hashPassword, scramHash, scramKeys } from "../../../src/auth/password/PasswordHash.ts"
import { parseClientFirst } from "../../../src/auth/scram/Scram.ts"
import { scramMethod } from "../../../src/auth/scram/ScramMethod.ts"
import { TenantDirectory } from "../../../src/tenant/TenantDirectory.ts"
import { defaultTenantSettings } from "../../../src/tenant/TenantSettings.ts"
import { credentials, told } from "../../support/credentials.ts"
import { concat, properties, raw } from "../../support/raw.ts"
import { clientFinal, clientFirst } from "../../support/scramClient.ts"
import { withBroker } from "../../support/testBroker.ts"

const cost = { memoryCost: 8, timeCost: 1, iterations: 4096 }
const text = [
  `ada:acme:${await scramHash(Buffer.from("lovelace"), cost)}`,
  `a,b=c::${await scramHash(Buffer.from("comma"), cost)}`,
  `plain::${await hashPassword("secret", cost)}`
].join("\n")
const users: PasswordUsers = Either.getOrThrow(parsePasswordFile(text))
const method = scramMethod({ users: () => users })

const say = (data: string | undefined, by = method): Promise<Verdict> =>
  Effect.runPromise(
    by.authenticate(
      credentials({
        authenticationMethod: "SCRAM-SHA-256",
        ...(data !== undefined && { authenticationData: Buffer.from(data) })
      })
    )
  )

const answerOf = (step: Verdict): string =>
  step._tag === "Challenge" ? Buffer.from(step.authenticationData ?? []).toString() : told(step)

const respond = (step: Verdict, data: string): Promise<AuthenticationStep> =>
  step._tag === "Challenge"
    ? Effect.runPromise(step.respond(secretBytes(Buffer.from(data))))
    : Promise.reject(step)

/** A whole exchange as that user. */
const exchange = async (username: string, password: string, header = "n,,") => {
  const first = clientFirst(username, "cnonce", header)
  const challenge = await say(first)
  const final = clientFinal(first, answerOf(challenge), password, header)
  return { step: await respond(challenge, final.message), final, challenge }
}

describe("RFC 7677, section 3", () => {
  test("the exchange of the example", async () => {
    const keys = await scramKeys(
      Buffer.from("pencil"),
      Buffer.from("W22ZaJ0SNY7soEsUEjb6gQ==", "base64"),
      4096
    )
    const example = scramMethod({
      users: () => new Map([["user", { username: "user", tenant: "t", hash: keys }]]),
      newNonce: () => "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    })
    const challenge = await say("n,,n=user,r=rOprNGfwEbeRWgbNEkqO", example)
    expect(answerOf(challenge)).toBe(
      "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    )
    const step = await respond(
      challenge,
      "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    expect(told(step)).toBe("t/user")
    expect(step._tag === "Accepted" && Buffer.from(step.authenticationData ?? []).toString()).toBe(
      "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    )
  })
})

describe("an exchange", () => {
  const rows: ReadonlyArray<readonly [name: string, username: string, password: string, result: string]> = [
    ["with the right password", "ada", "lovelace", "acme/ada"],
    ["by a name with a comma and an equals sign", "a,b=c", "comma", "default/a,b=c"],
    ["with a wrong password", "ada", "Lovelace", "0x87"],
    ["of an unknown user", "eve", "lovelace", "0x87"],
    ["of a user whose password is not kept for it", "plain", "secret", "0x87"],
    ["of Object's", "constructor", "x", "0x87"]
  ]
  for (const [name, username, password, result] of rows) {
    test(`${name}: ${result}`, async () => {
      const { final, step } = await exchange(username, password)
      expect(told(step)).toBe(result)
      if (step._tag === "Accepted") {
        expect(Buffer.from(step.authenticationData ?? []).toString()).toBe(final.expected)
      }
    })
  }

  test("of a client that could bind channels, had we said that we can", async () => {
    expect(told((await exchange("ada", "lovelace", "y,,")).step)).toBe("acme/ada")
  })

  test("tells unknown users nothing that known ones are not told", async () => {
    const forms = await Promise.all(
      ["ada", "eve", "plain"].map(async (username) => answerOf(await say(clientFirst(username, "n"))))
    )
    for (const form of forms) expect(form).toMatch(/^r=n[A-Za-z0-9+/]{24},s=[A-Za-z0-9+/]{22}==,i=4096$/)
    const salt = async (username: string) => answerOf(await say(clientFirst(username, "n"))).split(",")[1]
    expect(await salt("eve")).toBe(await salt("eve"))
    expect(await salt("eve")).not.toBe(await salt("mallory"))
    const ends = await Promise.all([exchange("ada", "guess"), exchange("eve", "guess")])
    expect(ends[0]?.step).toEqual(ends[1]!.step)
  })

  test("cannot be replayed, nor finished with the words of another", async () => {
    const first = clientFirst("ada", "cnonce")
    const { final } = await exchange("ada", "lovelace")
    expect(told(await respond(await say(first), final.message))).toBe("0x87")
    const challenge = await say(first)
    const right = clientFinal(first, answerOf(challenge), "lovelace").message
    const spoiled = [
      "",
      right.replace("c=biws", "c=eSws"),
      right.replace(",r=cnonce", ",r=cnoncf"),
      right.slice(0, -1),
      `${right},x=y`,
      right.replace(/p=..../, "p=AAAA"),
      "x".repeat(5000)
    ]
    for (const message of spoiled) expect(told(await respond(challenge, message))).toBe("0x87")
    expect(told(await respond(challenge, right))).toBe("acme/ada")
  })
})

describe("the first message", () => {
  const refused = [
    undefined,
    "",
    "n,,",
    "n,,n=,r=x",
    "n,,n=ada,r=",
    "n,,n=ada",
    "n,,r=x,n=ada",
    "n,a=root,n=ada,r=x",
    "p=tls-unique,,n=ada,r=x",
    "n,,m=ext,n=ada,r=x",
    "n,,n=a=b,r=x",
    "n,,n=a=2c,r=x",
    "n,,n=ädä,r=x",
    "n,,n=ada\u0000,r=x",
    `n,,n=ada,r=${"x".repeat(5000)}`
  ]
  for (const message of refused) {
    test(`${JSON.stringify(message?.slice(0, 30))} is refused`, async () => {
      expect(told(await say(message))).toBe("0x87")
    })
  }

  test("may hold extensions that may be passed over", () => {
    expect(parseClientFirst(Buffer.from("n,,n=ada,r=x,e=later"))?.username).toBe("ada")
  })

  test("of another method is not ours", async () => {
    for (const authenticationMethod of ["SCRAM-SHA-1", "SCRAM-SHA-256-PLUS", ""]) {
      const step = method.authenticate(credentials({ authenticationMethod }))
      expect(told(await Effect.runPromise(step))).toBe("NotMine")
    }
    expect(told(await Effect.runPromise(method.authenticate(credentials())))).toBe("NotMine")
  })
})

test("[MQTT-4.12.0-2] [MQTT-4.12.0-5] over MQTT 5: in CONNECT, AUTH and CONNACK, and again later", async () => {
  const authenticator = Layer.succeed(Authenticator, chain([method], { timeoutMs: 5000 }))
  const scram = properties.authenticationMethod("SCRAM-SHA-256")
  const saying = (data: string) => concat(scram, properties.authenticationData(data))
  const options = { authenticator, directory: TenantDirectory.layerTable(() => defaultTenantSettings) }
  await withBroker(options, async (broker) => {
    const dataOf = (packet: { readonly properties?: { readonly authenticationData?: Uint8Array } }) =>
      Buffer.from(packet.properties?.authenticationData ?? []).toString()
    const first = clientFirst("ada", "cnonce")
    const client = broker.open(5)
    await client.send(raw.connect({ version: 5, properties: saying(first) }))
    const challenge = await client.expect("auth")
    expect(challenge.reasonCode).toBe(0x18)
    const final = clientFinal(first, dataOf(challenge), "lovelace")
    await client.send(raw.auth({ reasonCode: 0x18, properties: saying(final.message) }))
    const connack = await client.expect("connack")
    expect([connack.reasonCode, dataOf(connack)]).toEqual([0, final.expected])

    await client.send(raw.auth({ reasonCode: 0x19, properties: saying(first) }))
    const again = clientFinal(first, dataOf(await client.expect("auth")), "lovelace")
    await client.send(raw.auth({ reasonCode: 0x18, properties: saying(again.message) }))
    const done = await client.expect("auth")
    expect([done.reasonCode, dataOf(done)]).toEqual([0, again.expected])
    await client.publish("t")

    await client.send(raw.auth({ reasonCode: 0x19, properties: saying(first) }))
    const wrong = clientFinal(first, dataOf(await client.expect("auth")), "guess")
    await client.send(raw.auth({ reasonCode: 0x18, properties: saying(wrong.message) }))
    expect((await client.expect("disconnect")).reasonCode).toBe(0x87)
  })
})
