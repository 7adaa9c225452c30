/**
 * Attacks on what a broker tells of itself: row 36 of the attack table. Secrets are pushed in by every way
 * there is, and everything that comes out is searched for them.
 */

import { afterAll, describe, expect, spyOn, test } from "bun:test"
import { Buffer } from "node:buffer"
import * as BunContext from "@effect/platform-bun/BunContext"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Redacted from "effect/Redacted"
import { connectAsync, type IClientOptions } from "mqtt"
import {
  type AuthenticationStep,
  Authenticator,
  bytesOf,
  type Credentials
} from "../../src/auth/Authenticator.ts"
import { chain, methodOf } from "../../src/auth/Chain.ts"
import { Broker } from "../../src/Broker.ts"
import { logLayer } from "../../src/cli/log.ts"
import { Running, runningLayer } from "../../src/cli/running.ts"
import { configurationYaml } from "../../src/config/ConfigText.ts"
import { resolve } from "../../src/config/Resolution.ts"
import type { Event } from "../../src/events/Event.ts"
import { EventSink } from "../../src/events/EventSink.ts"
import { eventJson } from "../../src/events/eventJson.ts"
import { eventKinds } from "../../src/events/eventKinds.ts"
import { Explain } from "../../src/explain/Explain.ts"
import { prometheusText } from "../../src/telemetry/metrics/prometheus.ts"
import { canary, secretIn } from "../support/canary.ts"
import { credentials, identityOf } from "../support/credentials.ts"
import { live } from "../support/effect.ts"
import { raw } from "../support/raw.ts"
import { withBroker } from "../support/testBroker.ts"
import { hs256 } from "../support/tokens.ts"

/** What goes to the console: the log, whole lines. */
const logged: Array<string> = []
const spies = (["log", "error", "warn", "info", "debug", "group"] as const).map((name) =>
  spyOn(console, name).mockImplementation((...values: ReadonlyArray<unknown>) => {
    logged.push(values.map((value) => (typeof value === "string" ? value : Bun.inspect(value))).join(" "))
  })
)
afterAll(() => {
  for (const spy of spies) spy.mockRestore()
})

const takeLog = (): string => logged.splice(0).join("\n")

/** Services that the broker calls: what it sends there, but for the headers, which are for the secrets. */
interface Outside {
  readonly url: string
  readonly told: Array<string>
  readonly authorizations: Set<string | null>
}

/** The service that knows clients answers nonsense, with secrets in it. */
const outside = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => {
      const told: Array<string> = []
      const authorizations = new Set<string | null>()
      const server = Bun.serve({
        hostname: "127.0.0.1",
        port: 0,
        fetch: async (request) => {
          authorizations.add(request.headers.get("authorization"))
          const { pathname } = new URL(request.url)
          const body = await request.text()
          if (pathname !== "/authenticate") told.push(body)
          if (pathname === "/elsewhere") return Response.redirect(`/there?token=${canary("redirect")}`)
          return new Response(`{ "result": ${canary("answer")}`)
        }
      })
      return { server, told, authorizations }
    }),
    ({ server }) => Effect.promise(() => server.stop(true))
  ),
  ({ server, ...rest }): Outside => ({ ...rest, url: `http://127.0.0.1:${server.port}` })
)

const signingSecret = canary("that-is-long-enough-to-sign-tokens")

const configured = (url: string) =>
  Either.getOrThrow(
    resolve({
      env: { HEDDLE_EVENTS_WEBHOOK_AUTHORIZATION: canary("webhook") },
      file: {
        name: "test.json",
        content: {
          listeners: { tcp: { host: "127.0.0.1", port: 0 }, ws: { enabled: false } },
          storage: { kind: "memory" },
          session: { debugEvents: true },
          metrics: { exportInterval: "1s" },
          authentication: {
            anonymous: "never",
            methods: ["jwt", "http"],
            jwt: { algorithm: "HS256", secret: signingSecret, tenantClaim: "" },
            http: { url: `${url}/authenticate?token=${canary("query")}`, authorization: canary("http") }
          },
          events: { webhook: { url: `${url}/events`, tags: Object.keys(eventKinds) } },
          tracing: { endpoint: `${url}/otlp`, authorization: canary("tracing"), ratio: 1, interval: "20ms" },
          log: { level: "trace" }
        }
      }
    })
  )

const ways: ReadonlyArray<readonly [name: string, options: (token: string) => IClientOptions]> = [
  ["a wrong password", () => ({ username: "ada", password: canary("password") })],
  [
    "a password of bytes",
    () => ({ username: "ada", password: Buffer.from(`\u00ff${canary("binary")}`, "latin1") })
  ],
  [
    "a token of somebody else's",
    () => ({ password: hs256(canary("other"), { claims: { sub: canary("claim") } }) })
  ],
  ["a token that is broken", (token) => ({ password: `${token}${canary("broken")}` })],
  ["authentication data of an unknown method", () => enhanced("PLAIN", canary("plain"))],
  ["authentication data that is no token", () => enhanced("OAUTH2-JWT", canary("data"))],
  [
    "user properties of CONNECT",
    () => ({ username: "ada", properties: { userProperties: { token: canary("property") } } })
  ],
  [
    "a CONNECT that is refused with its will",
    () => ({ will: { topic: "w", payload: Buffer.from(canary("will")) } })
  ]
]

const enhanced = (authenticationMethod: string, data: string): IClientOptions => ({
  properties: { authenticationMethod, authenticationData: Buffer.from(data) }
})

/** Everything in this that a secret can be in, as one text a source. */
type Found = ReadonlyArray<readonly [source: string, text: string]>

const expectNoSecrets = (found: Found): void => {
  for (const [source, text] of found) expect([source, secretIn(text)]).toEqual([source, undefined])
}

live(
  "[attack 36] no secret comes out of a configured broker",
  () =>
    Effect.gen(function* () {
      const { authorizations, told, url } = yield* outside
      const first = configured(url)
      const token = hs256(signingSecret, {
        claims: { sub: "ada", exp: Date.parse("2100-01-01") / 1000, secret: canary("inside") }
      })
      const out: Array<readonly [source: string, text: string]> = [
        ["heddle config", configurationYaml(first.entries)]
      ]
      yield* Effect.gen(function* () {
        const { administration, events, measure } = yield* Broker
        const { explain } = yield* Explain
        const { listening, take } = yield* Running
        const port = Number(/:(\d+)$/.exec(listening()[0]?.address ?? "")?.[1])
        const nowMs = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
        const follower = administration.follow(
          {
            tenant: "default",
            clientId: "c",
            packetsMax: undefined,
            untilMs: nowMs + 60_000,
            payloadBytes: 0
          },
          nowMs
        )
        const connect = (options: IClientOptions) =>
          connectAsync(
            `mqtt://127.0.0.1:${port}`,
            { protocolVersion: 5, clientId: "c", reconnectPeriod: 0, ...options },
            false
          )
        for (const [name, options] of ways) {
          const refused = yield* Effect.promise(() =>
            connect(options(token)).then(
              () => "let in",
              () => "refused"
            )
          )
          expect([name, refused]).toEqual([name, "refused"])
        }
        yield* Effect.promise(async () => {
          const client = await connect({
            username: "ada",
            password: token,
            will: { topic: "w", payload: Buffer.from(canary("will")), qos: 1 }
          })
          await client.subscribeAsync("#", { qos: 1 })
          const arrived = new Promise((resolve) => client.once("message", resolve))
          await client.publishAsync("t", canary("payload"), {
            qos: 1,
            retain: true,
            properties: { userProperties: { token: canary("published") } }
          })
          await arrived
          // Its network goes: the will is published, and somebody is told why it went.
          client.stream.destroy()
        })
        const next = Either.getOrThrow(
          resolve({
            env: {},
            file: {
              name: "test.json",
              content: { authentication: { http: { authorization: canary("next") } } }
            }
          })
        )
        out.push(["a reload", JSON.stringify(yield* Effect.either(take(next)))])
        const client = { tenant: "default", clientId: "c", qos: 1, retain: true } as const
        const answers = yield* Effect.forEach(["connect", "publish", "receive"] as const, (action) =>
          explain({ ...client, action, topic: action === "connect" ? "" : "t" })
        )
        out.push(["explain", JSON.stringify(answers)])
        out.push(["clients", JSON.stringify(administration.clients({ limit: 10 }))])
        out.push(["what happened lately", JSON.stringify(events.recent.of(undefined, "c"))])
        out.push(["metrics", prometheusText(measure(10))])
        out.push(["trace", (follower?.take() ?? []).join("\n")])
      }).pipe(
        Effect.scoped,
        Effect.provide(runningLayer(first, { level: LogLevel.Trace })),
        Effect.provide(logLayer("json", { level: LogLevel.Trace })),
        Effect.provide(BunContext.layer)
      )
      // The broker has ended: events and spans have left.
      out.push(["log", takeLog()], ["events and spans", told.join("\n")])
      expectNoSecrets(out)
      const text = out.map(([, each]) => each).join("\n")
      for (const seen of [
        "WillPublished",
        "ConnectRefused",
        "PUBLISH",
        "heddle_messages_received_total",
        "traceId"
      ]) {
        expect(text).toContain(seen)
      }
      for (const name of ["webhook", "http", "tracing"]) expect(authorizations).toContain(canary(name))
    }),
  30_000
)

/** Ways in which an authenticator that somebody has written may fail over what it was given. */
const failures: ReadonlyArray<readonly [name: string, fail: (given: Credentials) => never]> = [
  ["throws what it was given", (given) => raise(given)],
  ["throws bytes", ({ password }) => raise(bytesOf(password))],
  ["throws a text", ({ password }) => raise(textOf(password))],
  ["throws an error that quotes it", ({ password }) => raise(new TypeError(`wrong: ${textOf(password)}`))],
  ["throws an error that holds it", (given) => raise(Object.assign(new TypeError("wrong"), { given }))],
  [
    "throws an error that was caused by one that quotes it",
    ({ password }) => raise(new TypeError("wrong", { cause: new TypeError(textOf(password)) }))
  ],
  ["throws an error that holds a cause", (given) => raise(new TypeError("wrong", { cause: { ...given } }))],
  ["takes it for JSON", ({ password }) => raise(JSON.parse(textOf(password)))]
]

const raise = (thrown: unknown): never => {
  throw thrown
}

const textOf = (secret: Credentials["password"]): string => Buffer.from(bytesOf(secret) ?? []).toString()

const given = credentials({
  username: "ada",
  password: canary("password"),
  authenticationMethod: "M",
  authenticationData: Buffer.from(canary("data"))
})

const runLogged = (effect: Effect.Effect<unknown>, logger: Layer.Layer<never>): Promise<string> =>
  Effect.runPromise(Effect.provide(effect, logger)).then(takeLog)

describe("[attack 36] of an authenticator that fails no secret is logged", () => {
  const loggers: ReadonlyArray<readonly [name: string, layer: Layer.Layer<never>]> = [
    ["JSON", logLayer("json", { level: LogLevel.Trace })],
    ["text", logLayer("pretty", { level: LogLevel.Trace })],
    [
      "an application's own logger",
      Logger.replace(Logger.defaultLogger, Logger.withConsoleLog(Logger.jsonLogger))
    ]
  ]
  for (const [form, layer] of loggers) {
    test.each(failures)(`which %s, as ${form}`, async (_, fail) => {
      const failing = methodOf("own", {
        authenticate: (presented) => Effect.sync(() => fail(presented)),
        reauthenticate: (_identity, _method, data) => Effect.sync(() => fail({ ...given, password: data }))
      })
      const { authenticate, reauthenticate } = chain([failing], { timeoutMs: 1000 })
      const steps: Array<AuthenticationStep> = []
      const all = Effect.gen(function* () {
        steps.push(yield* authenticate(given))
        steps.push(yield* reauthenticate(identityOf("ada"), "M", Redacted.make(Buffer.from(canary("again")))))
      })
      const text = await runLogged(all, layer)
      expect(text).toContain("authentication method own failed")
      expect(text).toContain("client")
      expectNoSecrets([
        ["log", text],
        ["answer", JSON.stringify(steps)]
      ])
    })
  }
})

describe("[attack 36] whatever is logged or reported", () => {
  test("credentials show nothing, however they are written", () => {
    const forms = [
      JSON.stringify(given),
      String(given),
      Bun.inspect(given),
      `${given.password}`,
      Bun.inspect({ ...given })
    ]
    expectNoSecrets(forms.map((form) => ["credentials", form]))
  })

  const defects: ReadonlyArray<readonly [name: string, defect: unknown]> = [
    ["an object", { payload: Buffer.from(canary("payload")), password: canary("password") }],
    ["a text", canary("text")],
    ["what a parser quotes", Either.getOrNull(Either.flip(Either.try(() => JSON.parse(canary("json")))))]
  ]
  test.each(defects)("a defect that is %s is told by its kind", async (_, defect) => {
    const event: Event = { _tag: "ActorDefect", actor: "session c", tenant: "default", defect }
    const report = Effect.flatMap(EventSink, (sink) => Effect.sync(() => sink.report(event)))
    const text = await runLogged(
      Effect.provide(report, EventSink.layerLog),
      Logger.replace(Logger.defaultLogger, Logger.withConsoleLog(Logger.jsonLogger))
    )
    expect(text).toContain("ActorDefect")
    expectNoSecrets([
      ["log", text],
      ["event", eventJson({ event, atMs: 0 })]
    ])
  })

  test("a handshake that dies tells who it was, and not what it presented", async () => {
    const authenticator = Layer.succeed(Authenticator, {
      authenticate: ({ password }) => Effect.die(new TypeError(`wrong: ${textOf(password)}`)),
      reauthenticate: () => Effect.die("not asked")
    })
    await withBroker({ authenticator }, async (broker) => {
      const client = broker.open(5)
      await client.send(raw.connect({ version: 5, username: "ada", password: canary("password") }))
      expect((await client.expect("connack")).reasonCode).toBe(0x80)
      expectNoSecrets([["events", broker.events.map((event) => eventJson({ event, atMs: 0 })).join("\n")]])
    })
    const text = takeLog()
    expect(text).toContain("a handshake failed")
    expect(text).toContain("clientId=client")
    expectNoSecrets([["log", text]])
  })
})
