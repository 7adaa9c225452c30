/**
 * Every extension point, failing in every way for one tenant: its clients are refused, in the words of their
 * version; the clients of another tenant are served meanwhile; and the broker can be stopped.
 *
 * [attack 32] What policies do wrong in each hook is in `policy/`, what permissions do wrong in
 * `../auth/failClosed.test.ts`.
 */

import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Stream from "effect/Stream"
import { type AuthenticationStep, Authenticator } from "../../src/auth/Authenticator.ts"
import { Authorizer, allowAll } from "../../src/auth/Authorizer.ts"
import { DurableState } from "../../src/storage/DurableState.ts"
import { layerMemory } from "../../src/storage/memory.ts"
import { RetainedStore } from "../../src/storage/RetainedStore.ts"
import { SessionStore } from "../../src/storage/SessionStore.ts"
import { StorageError } from "../../src/storage/StorageError.ts"
import { ClientBalancer, type Redirect } from "../../src/tenant/ClientBalancer.ts"
import { type Policy, TenantPolicy } from "../../src/tenant/policy/TenantPolicy.ts"
import { allow } from "../../src/tenant/policy/Verdict.ts"
import { TenantDirectory } from "../../src/tenant/TenantDirectory.ts"
import { defaultTenantSettings } from "../../src/tenant/TenantSettings.ts"
import { everyTenant } from "../attack/identities.ts"
import { properties, type RawConnect, raw, type Version } from "../support/raw.ts"
import { TestBroker, type TestBrokerOptions, type TestClient, withBroker } from "../support/testBroker.ts"
import { byUsername } from "./byUsername.ts"

/** What a service does instead of answering. */
const faults: Readonly<Record<string, () => Effect.Effect<never>>> = {
  throws: () => {
    throw new TypeError("a bug")
  },
  dies: () => Effect.die("a bug"),
  "fails with what is no error of its": () => Effect.fail("down") as unknown as Effect.Effect<never>,
  "is interrupted": () => Effect.interrupt,
  hangs: () => Effect.never,
  "hangs and cannot be interrupted": () => Effect.uninterruptible(Effect.never),
  "answers nothing": () => Effect.succeed(undefined as never),
  "answers null": () => Effect.succeed(null as never),
  "answers with some object": () => Effect.succeed({ nonsense: true } as never),
  "answers with a word": () => Effect.succeed("yes" as never),
  "answers what is no effect": () => "yes" as never
}

type Fault = () => Effect.Effect<never>

const named = (username = "") => {
  const [tenant = "", principal = ""] = username.split("/")
  return { tenant, principal }
}

/** The extension point fails for tenant `bad`, and for no other. */
type Point = (fault: Fault) => TestBrokerOptions

const policy = (fault: Fault, hook: keyof Policy): TestBrokerOptions => {
  const policyOf = (tenant: string): Policy => {
    const judge = () => (tenant === "bad" ? fault() : allow)
    return hook === "settings"
      ? { settings: () => (tenant === "bad" ? fault() : {}) }
      : ({ [hook]: judge } as Policy)
  }
  return { policy: TenantPolicy.forTenant(policyOf) }
}

const directory = (fault: Fault, answers: "settings" | "state"): TestBrokerOptions => ({
  directory: Layer.succeed(TenantDirectory, {
    settings: (tenant) =>
      tenant === "bad" && answers === "settings" ? fault() : Effect.succeed(defaultTenantSettings),
    state: (tenant) => (tenant === "bad" && answers === "state" ? fault() : Effect.succeed("active"))
  })
})

const atConnect: ReadonlyArray<readonly [name: string, point: Point]> = [
  [
    "Authenticator.authenticate",
    (fault) => ({
      authenticator: Layer.succeed(Authenticator, {
        authenticate: ({ username }) => {
          const { principal, tenant } = named(username)
          if (tenant === "bad") return fault()
          return Effect.succeed<AuthenticationStep>({ _tag: "Accepted", tenant, principal })
        },
        reauthenticate: fault
      })
    })
  ],
  [
    "Authorizer.permissions",
    (fault) => ({
      authorizer: Layer.succeed(Authorizer, {
        permissions: ({ tenant }) => (tenant === "bad" ? fault() : Effect.succeed(allowAll))
      })
    })
  ],
  [
    "Permissions.publish, for a will",
    (fault) => ({
      authorizer: Layer.succeed(Authorizer, {
        permissions: ({ tenant }) =>
          Effect.succeed(tenant === "bad" ? { ...allowAll, publish: fault } : allowAll)
      })
    })
  ],
  ["TenantDirectory.settings", (fault) => directory(fault, "settings")],
  ["TenantDirectory.state", (fault) => directory(fault, "state")],
  ["TenantPolicy.settings", (fault) => policy(fault, "settings")],
  ["TenantPolicy.admit", (fault) => policy(fault, "admit")],
  ["TenantPolicy.publish, for a will", (fault) => policy(fault, "publish")]
]

const serverRefusals: ReadonlySet<number> = new Set([0x80, 0x83, 0x87, 0x88])
const versions: ReadonlyArray<Version> = [3, 4, 5]

const expectServed = async (client: TestClient): Promise<void> => {
  await client.subscribe(["t", 0])
  await client.send(raw.publish({ version: client.version, topic: "t" }))
  expect((await client.expect("publish")).topic).toBe("t")
  await client.quiet()
}

/** It is not let in: told so, or closed when its time was over. */
const expectRefused = async (broker: TestBroker, version: Version): Promise<void> => {
  const client = broker.open(version)
  const will = { topic: "will", qos: 1 }
  await client.send(raw.connect({ version, clientId: "same", username: "bad/user", will }))
  await broker.settle()
  // The other tenant's client is served while that one waits.
  const other = await broker.connect({ version, clientId: "same", username: "good/user", will })
  await expectServed(other)
  await other.send(raw.disconnect())
  await other.expectClosed()
  await broker.advance(11_000)
  const answers = await client.untilClosed()
  expect(answers.length).toBeLessThanOrEqual(1)
  for (const answer of answers) {
    expect(answer.cmd).toBe("connack")
    if (answer.cmd !== "connack") continue
    if (version === 5) expect(serverRefusals).toContain(answer.reasonCode ?? 0)
    else expect([3, 5]).toContain(answer.returnCode ?? 0)
  }
}

const tenants = {
  authenticator: byUsername,
  directory: everyTenant,
  telemetry: Logger.remove(Logger.defaultLogger)
}

describe.each([...atConnect])("[attack 32] %s", (_, point) => {
  test.each(Object.entries(faults))("that %s lets nobody of its tenant in", (_, fault) =>
    withBroker({ ...tenants, ...point(fault) }, async (broker) => {
      for (const version of versions) await expectRefused(broker, version)
      await broker.settle()
      expect(broker.eventsOf("ConnectRefused").map(({ clientId }) => clientId)).toEqual([
        "same",
        "same",
        "same"
      ])
      expect(broker.broker.census()).toMatchObject({ connections: 0, sessions: 0 })
      expect(broker.eventsOf("ActorDefect")).toEqual([])
    })
  )
})

describe("[attack 32] ClientBalancer.redirect", () => {
  const nonsense = { permanent: true, serverReference: 7 as unknown as string }
  // That there is no other server is an answer.
  const { "answers nothing": _, ...wrong } = faults
  const cases: ReadonlyArray<readonly [string, () => Effect.Effect<Redirect | undefined>]> = [
    ...Object.entries(wrong),
    ["names a server by number", () => Effect.succeed(nonsense)],
    ["names a server that no text can hold", () => Effect.succeed({ ...nonsense, serverReference: "a\0" })]
  ]
  test.each([...cases])("that %s lets no client of version 5 in", (_, fault) => {
    const balancer = Layer.succeed(ClientBalancer, {
      redirect: ({ tenant }) => (tenant === "bad" ? fault() : Effect.succeed(undefined))
    })
    return withBroker({ ...tenants, balancer }, (broker) => expectRefused(broker, 5))
  })
})

describe("[attack 32] what tells of changes", () => {
  const streams: ReadonlyArray<readonly [string, Stream.Stream<never>]> = [
    ["dies", Stream.die("a bug")],
    ["ends", Stream.empty],
    ["hangs", Stream.never],
    ["hangs and cannot be interrupted", Stream.fromEffect(Effect.uninterruptible(Effect.never))]
  ]
  test.each([...streams])("%s: clients are served, and the broker can be stopped", (_, changes) => {
    const authorizer = Layer.succeed(Authorizer, { permissions: () => Effect.succeed(allowAll), changes })
    const settings = () => Effect.succeed(defaultTenantSettings)
    const directory = Layer.succeed(TenantDirectory, { settings, changes })
    return withBroker({ ...tenants, authorizer, directory }, async (broker) => {
      await expectServed(await broker.connect({ username: "good/user" }))
    })
  })
})

describe("[attack 32] at the start", () => {
  const lasting = (tenant: string): RawConnect => ({
    version: 5,
    clientId: "same",
    clean: false,
    username: `${tenant}/user`,
    properties: properties.sessionExpiryInterval(600)
  })

  /** Both tenants have a session. */
  const storedSessions = async (): Promise<DurableState> => {
    const stored = new DurableState()
    await withBroker({ ...tenants, stored }, async (broker) => {
      for (const tenant of ["bad", "good"]) await broker.connect(lasting(tenant))
    })
    return stored
  }

  const atOnce = Object.entries(faults).filter(([name]) => !name.startsWith("hangs"))

  test.each([...atOnce])(
    "a directory that %s about one tenant: the others are there, and that one when it is well",
    async (_, fault) => {
      const stored = await storedSessions()
      let isWell = false
      const settings = (tenant: string) =>
        tenant === "good" || isWell ? Effect.succeed(defaultTenantSettings) : fault()
      const directory = Layer.succeed(TenantDirectory, { settings })
      await withBroker({ ...tenants, stored, directory }, async (broker) => {
        const good = await broker.connect(lasting("good"))
        expect(good.connack?.sessionPresent).toBe(true)
        await expectRefused(broker, 5)
        isWell = true
        const back = await broker.connect(lasting("bad"))
        expect(back.connack?.sessionPresent).toBe(true)
      })
    }
  )

  const unreadable = new StorageError({ reason: "unreadable", cause: undefined })
  const sessionStore = (sessions: SessionStore["Type"]["sessions"]) =>
    Layer.succeed(SessionStore, { sessions, queue: (_, answer) => answer([]) })
  const retainedStore = (messages: RetainedStore["Type"]["messages"]) =>
    Layer.succeed(RetainedStore, { messages })
  const stores: ReadonlyArray<readonly [string, Layer.Layer<SessionStore | RetainedStore>]> = [
    ["sessions that fail", Layer.merge(sessionStore(Stream.fail(unreadable)), retainedStore(Stream.empty))],
    ["sessions that die", Layer.merge(sessionStore(Stream.die("a bug")), retainedStore(Stream.empty))],
    [
      "retained messages that fail",
      Layer.merge(sessionStore(Stream.empty), retainedStore(Stream.fail(unreadable)))
    ],
    [
      "retained messages that die",
      Layer.merge(sessionStore(Stream.empty), retainedStore(Stream.die("a bug")))
    ]
  ]
  test.each([...stores])("nobody is served by a broker with a store of %s", async (_, store) => {
    const storage = Layer.merge(layerMemory(), store)
    const started = await Effect.runPromiseExit(
      Effect.tryPromise(() => TestBroker.start({ ...tenants, storage }))
    )
    expect(Exit.isFailure(started)).toBe(true)
  })
})
