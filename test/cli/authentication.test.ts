/** Every way to authenticate as a configuration turns it on: clients of others over sockets. */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { generateKeyPairSync } from "node:crypto"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as BunContext from "@effect/platform-bun/BunContext"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import { connect, type IClientOptions } from "mqtt"
import type { IAuthPacket } from "mqtt-packet"
import { scramHash } from "../../src/auth/password/PasswordHash.ts"
import { Running, runningLayer } from "../../src/cli/running.ts"
import { resolve } from "../../src/config/Resolution.ts"
import { isOpensslAvailable, testCertificates } from "../support/certificates.ts"
import { clientFinal, clientFirst } from "../support/scramClient.ts"
import { hs256, signedBy } from "../support/tokens.ts"

setDefaultTimeout(20_000)

let directory: string
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "heddle-authentication-"))
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const file = (name: string, content: string): string => {
  const path = join(directory, name)
  writeFileSync(path, content)
  return path
}

/** The answer to a CONNECT: `in`, or the reason code; `answer` makes the AUTH that answers a challenge. */
type Try = (options: IClientOptions, answer?: (challenge: string) => IAuthPacket) => Promise<string>

const withAuthentication = (
  authentication: unknown,
  body: (attempt: Try) => Promise<void>,
  listeners: unknown = { tcp: { port: 0, host: "127.0.0.1" } }
): Promise<void> => {
  const content = {
    listeners,
    authentication,
    storage: { kind: "memory" },
    log: { level: "none" }
  }
  const resolved = Either.getOrThrow(resolve({ file: { name: "test.json", content }, env: {} }))
  const program = Effect.gen(function* () {
    const [place] = (yield* Running).listening()
    const scheme = place?.transport === "tls" ? "mqtts" : "mqtt"
    const attempt: Try = (options, answer) =>
      new Promise((settle) => {
        const url = `${scheme}://127.0.0.1:${place?.port}`
        const client = connect(url, { protocolVersion: 5, reconnectPeriod: 0, ...options })
        if (answer !== undefined) {
          client.handleAuth = ({ properties }, done) =>
            done(undefined, answer(String(properties?.authenticationData)))
        }
        client.once("connect", () => client.end(false, () => settle("in")))
        client.once("error", (error) => {
          client.end(true)
          settle("code" in error ? `0x${Number(error.code).toString(16)}` : error.message)
        })
      })
    yield* Effect.promise(() => body(attempt))
  })
  const layer = runningLayer(resolved, { level: LogLevel.None }).pipe(
    Layer.provide([BunContext.layer, Logger.remove(Logger.defaultLogger)])
  )
  return Effect.runPromise(Effect.provide(program, layer))
}

/** Far enough away for a test, by the real clock. */
const exp = Math.floor(performance.timeOrigin / 1000) + 3600

describe("jwt", () => {
  test("by a secret, before anonymous clients", () =>
    withAuthentication(
      {
        methods: ["jwt"],
        anonymous: "always",
        jwt: { algorithm: "HS256", secret: "s".repeat(32), clientIdClaim: "client" }
      },
      async (attempt) => {
        const token = (secret: string) =>
          hs256(secret.repeat(32), { claims: { sub: "ada", tenant: "acme", client: "sensor", exp } })
        expect(await attempt({ clientId: "sensor", username: "x", password: token("s") })).toBe("in")
        expect(await attempt({ clientId: "another", username: "x", password: token("s") })).toBe("0x87")
        expect(await attempt({ clientId: "sensor", username: "x", password: token("t") })).toBe("0x86")
        expect(await attempt({ username: "x", password: "guess" })).toBe("0x86")
        expect(await attempt({})).toBe("in")
      }
    ))

  test("by a key set in a file", async () => {
    const { privateKey, publicKey } = generateKeyPairSync("ed25519")
    const keys = file("keys.json", JSON.stringify({ keys: [publicKey.export({ format: "jwk" })] }))
    const jwt = { algorithm: "EdDSA", file: keys, issuer: "https://issuer.example" }
    await withAuthentication({ methods: ["jwt"], jwt }, async (attempt) => {
      const claims = { sub: "ada", tenant: "acme", exp }
      const present = (iss: string) =>
        attempt({ username: "x", password: signedBy(privateKey, { claims: { ...claims, iss } }) })
      expect(await present("https://issuer.example")).toBe("in")
      expect(await present("https://issuer.example.com")).toBe("0x86")
    })
  })
})

describe.skipIf(!isOpensslAvailable)("certificate", () => {
  test("by the names in it, if an authority of the listener has signed it", () => {
    const { authority, client, hostileClient, rogueClient, server } = testCertificates()
    const tls = {
      cert: file("server.pem", server.cert),
      key: file("server.key", server.key),
      ca: file("ca.pem", authority.cert),
      clientCertificates: "request"
    }
    const certificate = { principal: "uri", principalPattern: "urn:dev:(\\d+)", tenant: "subject.O" }
    return withAuthentication(
      { methods: ["certificate"], anonymous: "never", certificate },
      async (attempt) => {
        const present = (shown?: { readonly cert: string; readonly key: string }) =>
          attempt({ ca: authority.cert, servername: "localhost", ...shown })
        expect(await present(client)).toBe("in")
        expect(await present(hostileClient)).toBe("0x87")
        expect(await present(rogueClient)).toBe("0x87")
        expect(await present()).toBe("0x87")
      },
      { tls: { port: 0, host: "127.0.0.1", tls } }
    )
  })
})

describe("http", () => {
  test("by a service that is asked, and no while it is down", async () => {
    let isUp = true
    const service = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: async (request) => {
        if (!isUp || request.headers.get("authorization") !== "Bearer us")
          return new Response("", { status: 500 })
        const { password, username } = (await request.json()) as Readonly<Record<string, string>>
        const isRight = password === "secret"
        return Response.json(
          isRight ? { result: "allow", principal: username, tenant: "acme" } : { result: "deny" }
        )
      }
    })
    const http = { url: service.url.href, authorization: "Bearer us" }
    try {
      await withAuthentication({ methods: ["http"], http }, async (attempt) => {
        expect(await attempt({ username: "ada", password: "secret" })).toBe("in")
        expect(await attempt({ username: "ada", password: "guess" })).toBe("0x86")
        isUp = false
        expect(await attempt({ username: "grace", password: "secret" })).toBe("0x88")
      })
    } finally {
      await service.stop(true)
    }
  })
})

describe("scram", () => {
  test("by a client of version 5 that proves it knows the password; the same users by plain password", async () => {
    const keys = await scramHash(Buffer.from("lovelace"), { memoryCost: 8, timeCost: 1, iterations: 4096 })
    const passwordFile = { path: file("scram-users", `ada:acme:${keys}\n`) }
    const configured = { methods: ["scram", "password-file"], anonymous: "never", passwordFile }
    const authenticationMethod = "SCRAM-SHA-256"
    const first = clientFirst("ada", "cnonce")
    const properties = { authenticationMethod, authenticationData: Buffer.from(first) }
    await withAuthentication(configured, async (attempt) => {
      const prove = (password: string) =>
        attempt({ properties }, (challenge) => ({
          cmd: "auth",
          reasonCode: 0x18,
          properties: {
            authenticationMethod,
            authenticationData: Buffer.from(clientFinal(first, challenge, password).message)
          }
        }))
      expect(await prove("lovelace")).toBe("in")
      expect(await prove("guess")).toBe("0x87")
      expect(await attempt({ username: "ada", password: "lovelace" })).toBe("in")
      expect(await attempt({ username: "ada", password: "guess" })).toBe("0x86")
    })
  })
})

describe("the guard", () => {
  test("lets an address wait that fails too often, and turns away a banned network", async () => {
    const jwt = { algorithm: "HS256", secret: "s".repeat(32) }
    const guessing = {
      methods: ["jwt"],
      anonymous: "always",
      jwt,
      guard: { failures: 2, backoff: "1h", backoffMax: "1h" }
    }
    await withAuthentication(guessing, async (attempt) => {
      const answers: Array<string> = []
      for (const username of ["a", "b", "c", "d"])
        answers.push(await attempt({ username, password: "guess" }))
      expect(answers).toEqual(["0x86", "0x86", "0x86", "0x9f"])
      expect(await attempt({})).toBe("0x9f")
    })
    const banned = { anonymous: "always", guard: { bannedNetworks: ["127.0.0.0/8"] } }
    await withAuthentication(banned, async (attempt) => expect(await attempt({})).toBe("0x8a"))
  })

  test("bans a client that connects again and again, and nobody else", () =>
    withAuthentication({ guard: { flapConnects: 3 } }, async (attempt) => {
      const answers: Array<string> = []
      for (let round = 0; round < 4; round++) answers.push(await attempt({ clientId: "restless" }))
      expect(answers).toEqual(["in", "in", "in", "0x8a"])
      expect(await attempt({ clientId: "calm" })).toBe("in")
    }))
})
