/** A broker that runs takes up what its configuration file says now: who is connected stays. */

import { afterAll, afterEach, describe, expect, setDefaultTimeout, spyOn, test } from "bun:test"
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as BunContext from "@effect/platform-bun/BunContext"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import { connect, connectAsync, type IClientOptions, type MqttClient } from "mqtt"
import { logLayer } from "../../src/cli/log.ts"
import { type Configuration, reload, reloadText, reloadWhenAsked } from "../../src/cli/reload.ts"
import { Running, runningLayer } from "../../src/cli/running.ts"
import { resolveConfig } from "../../src/config/Config.ts"

// Real sockets on a busy machine: slow is not wrong.
setDefaultTimeout(20_000)

const directory = mkdtempSync(join(tmpdir(), "heddle-reload-"))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const clients: Array<MqttClient> = []
afterEach(() => {
  for (const client of clients.splice(0)) client.end(true)
})

const file = join(directory, "heddle.json")

/** As editors do: the new content is there all at once. */
const write = (content: unknown): void => {
  writeFileSync(`${file}.new`, typeof content === "string" ? content : JSON.stringify(content))
  renameSync(`${file}.new`, file)
}

const base = {
  listeners: { tcp: { port: 0, host: "127.0.0.1" } },
  storage: { kind: "memory" },
  log: { level: "none" }
}

interface Driver {
  /** Writes the file and reloads; what the log would say, or why not. */
  readonly reload: (content: unknown) => Promise<string>
  readonly port: (listener?: string) => number
  readonly names: () => ReadonlyArray<string>
}

const withBroker = (content: unknown, body: (driver: Driver) => Promise<void>): Promise<void> => {
  write(content)
  const again = resolveConfig({ file: Option.some(file), env: {} })
  const program = Effect.gen(function* () {
    const running = yield* Running
    const runtime = yield* Effect.runtime<Running>()
    yield* Effect.promise(() =>
      body({
        reload: async (next) => {
          write(next)
          const exit = await Effect.runPromiseExit(Effect.provide(reload({ again }), runtime))
          if (Exit.isSuccess(exit)) return reloadText(exit.value)
          return exit.cause._tag === "Fail" ? exit.cause.error.message : String(exit.cause)
        },
        port: (name = "tcp") => running.listening().find((place) => place.name === name)?.port ?? 0,
        names: () => running.listening().map(({ name }) => name)
      })
    )
  })
  return Effect.flatMap(again, (resolved) =>
    Effect.provide(program, runningLayer(resolved, { level: LogLevel.None }))
  ).pipe(Effect.provide([BunContext.layer, Logger.remove(Logger.defaultLogger)]), (running) =>
    Effect.runPromise(running)
  )
}

const enter = async (port: number, options: IClientOptions = {}): Promise<MqttClient> => {
  const client = await connectAsync(`mqtt://127.0.0.1:${port}`, {
    protocolVersion: 5,
    reconnectPeriod: 0,
    ...options
  })
  clients.push(client)
  return client
}

/** The reason code of a refusal, or "in". */
const attempt = (port: number, options: IClientOptions = {}): Promise<string> =>
  new Promise((settle) => {
    const client = connect(`mqtt://127.0.0.1:${port}`, { protocolVersion: 5, reconnectPeriod: 0, ...options })
    clients.push(client)
    client.once("connect", () => settle("in"))
    client.once("error", (error) =>
      settle("code" in error && typeof error.code === "number" ? `0x${error.code.toString(16)}` : "closed")
    )
    client.once("close", () => settle("closed"))
  })

/** It is there as before: what it publishes comes back to it. */
const isServed = async (client: MqttClient): Promise<boolean> => {
  if (!client.connected) return false
  const heard = new Promise<string>((settle) => client.once("message", (topic) => settle(topic)))
  await client.subscribeAsync("echo", { qos: 1 })
  await client.publishAsync("echo", "?", { qos: 1 })
  return (await heard) === "echo"
}

describe("a reload", () => {
  test("changes nothing when nothing has changed", () =>
    withBroker(base, async ({ reload }) => {
      expect(await reload(base)).toBe("configuration reloaded: nothing has changed")
    }))

  test("puts settings in force, also for those who are connected", () =>
    withBroker(base, async ({ port, reload }) => {
      const client = await enter(port())
      await client.subscribeAsync("a/b")
      expect(await reload({ ...base, session: { topicLevelsMax: 2 } })).toBe(
        "configuration reloaded: session.topicLevelsMax: 128 -> 2"
      )
      await client.subscribeAsync("c/d")
      await expect(client.subscribeAsync("a/b/c")).rejects.toThrow()
      expect(await isServed(client)).toBe(true)
    }))

  test("announces to those who come what is felt at the next connect", () =>
    withBroker(base, async ({ port, reload }) => {
      const connackOf = async () => {
        const client = connect(`mqtt://127.0.0.1:${port()}`, { protocolVersion: 5, reconnectPeriod: 0 })
        clients.push(client)
        return new Promise((settle) => client.once("connect", ({ properties }) => settle(properties)))
      }
      expect(await connackOf()).toMatchObject({ receiveMaximum: 1000, maximumPacketSize: 1024 * 1024 })
      await reload({ ...base, session: { receiveMaximum: 7 }, limits: { packetBytesMax: 2048 } })
      expect(await connackOf()).toMatchObject({ receiveMaximum: 7, maximumPacketSize: 2048 })
    }))

  test("suspends a tenant and takes it up again", () =>
    withBroker(base, async ({ port, reload }) => {
      const client = await enter(port())
      const told = new Promise<number | undefined>((settle) =>
        client.once("disconnect", ({ reasonCode }) => settle(reasonCode))
      )
      expect(await reload({ ...base, tenants: { default: { state: "suspended" } } })).toBe(
        "configuration reloaded: tenants.default added"
      )
      expect(await told).toBe(0x98)
      expect(await attempt(port())).toBe("0x8a")
      await reload({ ...base, tenants: { default: {} } })
      expect(await attempt(port())).toBe("in")
    }))

  test("asks those who come by the new authentication, and leaves those who are there", () =>
    withBroker({ ...base, authentication: { anonymous: "always" } }, async ({ port, reload }) => {
      const client = await enter(port())
      await reload({ ...base, authentication: { anonymous: "never" } })
      expect(await attempt(port())).toBe("0x87")
      expect(await isServed(client)).toBe(true)
    }))

  test("judges those who are connected by the new rules", () =>
    withBroker(base, async ({ port, reload }) => {
      const client = await enter(port())
      const publish = async (): Promise<number | undefined> =>
        client.publishAsync("a", "?", { qos: 1 }).then(
          () => 0,
          (error) => error.code
        )
      expect(await publish()).toBe(0)
      expect(await reload({ ...base, authorization: { default: "deny" } })).toBe(
        'configuration reloaded: authorization.default: "allow" -> "deny"'
      )
      while ((await publish()) !== 0x87);
      writeFileSync(join(directory, "rules.acl"), "[*]\nallow all a\nallow all echo\n")
      await reload({ ...base, authorization: { files: ["rules.acl"] } })
      while ((await publish()) !== 0);
      expect(await reload({ ...base, authorization: { files: ["none.acl"] } })).toContain("none.acl")
      expect(await isServed(client)).toBe(true)
    }))

  test("keeps what the guard remembers, unless its terms change", () =>
    withBroker(base, async ({ port, reload }) => {
      const guess = () => attempt(port(), { username: "ada", password: "guess" })
      const guard = { failures: 1, backoff: "1m" }
      const methods = { methods: ["jwt"], jwt: { algorithm: "HS256", secret: "s".repeat(32) } }
      await reload({ ...base, authentication: { ...methods, guard } })
      expect([await guess(), await guess(), await guess()]).toEqual(["0x86", "0x86", "0x9f"])
      await reload({ ...base, authentication: { ...methods, anonymous: "always", guard } })
      expect(await guess()).toBe("0x9f")
      await reload({ ...base, authentication: { ...methods, guard: { ...guard, failures: 2 } } })
      expect(await guess()).toBe("0x86")
    }))

  test("bans networks and lets them in again", () =>
    withBroker(base, async ({ port, reload }) => {
      const client = await enter(port())
      const guard = { bannedNetworks: ["127.0.0.0/8"] }
      await reload({ ...base, authentication: { guard } })
      expect(await attempt(port())).toBe("0x8a")
      expect(await isServed(client)).toBe(true)
      await reload(base)
      expect(await attempt(port())).toBe("in")
    }))

  test("limits connections that come from then on", () =>
    withBroker(base, async ({ port, reload }) => {
      const client = await enter(port())
      await reload({ ...base, limits: { connectionsMax: 1 } })
      expect(await attempt(port())).toBe("closed")
      expect(await isServed(client)).toBe(true)
      await reload(base)
      expect(await attempt(port())).toBe("in")
    }))

  test("limits how fast they come", () =>
    withBroker(base, async ({ port, reload }) => {
      await reload({ ...base, limits: { acceptRatePerAddress: 1, acceptBurstPerAddress: 1 } })
      const answers = await Promise.all([attempt(port()), attempt(port()), attempt(port())])
      expect(answers).toContain("closed")
      await reload(base)
      expect(await attempt(port())).toBe("in")
    }))

  test("says what needs a restart, each time", () =>
    withBroker(base, async ({ reload }) => {
      const next = { ...base, storage: { kind: "memory", path: "elsewhere" } }
      const line = `configuration reloaded: needs a restart: storage.path: "data" -> "${directory}/elsewhere"`
      expect(await reload(next)).toBe(line)
      expect(await reload(next)).toBe(line)
      expect(await reload(base)).toBe("configuration reloaded: nothing has changed")
    }))
})

describe("listeners", () => {
  const two = { ...base, listeners: { ...base.listeners, ws: { port: 0, host: "127.0.0.1" } } }

  test("that are added are opened, others are not touched", () =>
    withBroker(base, async ({ names, port, reload }) => {
      const [client, before] = [await enter(port()), port()]
      expect(await reload(two)).toBe("configuration reloaded: listeners.ws added")
      expect(names()).toEqual(["tcp", "ws"])
      expect(port()).toBe(before)
      const other = await connectAsync(`ws://127.0.0.1:${port("ws")}/mqtt`, { reconnectPeriod: 0 })
      clients.push(other)
      expect([await isServed(client), await isServed(other)]).toEqual([true, true])
    }))

  test("that are removed or disabled take nobody more, and their clients stay", () =>
    withBroker(two, async ({ names, port, reload }) => {
      const [client, before] = [await enter(port()), port()]
      const listeners = { ...two.listeners, tcp: { ...two.listeners.tcp, enabled: false } }
      expect(await reload({ ...two, listeners })).toBe(
        "configuration reloaded: listeners.tcp.enabled: true -> false"
      )
      expect(names()).toEqual(["ws"])
      expect(await attempt(before)).toBe("closed")
      expect(await isServed(client)).toBe(true)
      await reload(two)
      expect(await attempt(port())).toBe("in")
    }))

  test("that change are opened anew on the same port, and their clients stay", () =>
    withBroker(base, async ({ port, reload }) => {
      const fixed = port()
      const at = (tcp: object) => ({
        ...base,
        listeners: { tcp: { port: fixed, host: "127.0.0.1", ...tcp } }
      })
      const client = await enter(fixed)
      // Now the port is its own, and the proxy changes it again.
      await reload(at({}))
      expect(await attempt(fixed)).toBe("in")
      await reload(at({ proxyProtocol: { networks: ["127.0.0.1/32"] } }))
      expect(await attempt(fixed)).toBe("closed")
      await reload(at({}))
      expect(await attempt(fixed)).toBe("in")
      expect(await isServed(client)).toBe(true)
    }))

  test("that cannot be opened leave everything as it was", () =>
    withBroker({ ...two, authentication: { anonymous: "always" } }, async ({ names, port, reload }) => {
      const taken = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } })
      try {
        const [tcp, ws] = [port(), port("ws")]
        const listeners = {
          // Moves to the port of another that goes, and one that is taken comes beside it.
          tcp: { port: ws, host: "127.0.0.1" },
          more: { transport: "tcp", port: taken.port, host: "127.0.0.1" }
        }
        const refused = await reload({ ...base, listeners, authentication: { anonymous: "never" } })
        expect(refused).toBe(`listener more cannot listen on 127.0.0.1:${taken.port}: it is in use`)
        expect(names()).toEqual(["tcp", "ws"])
        expect([port(), port("ws")]).toEqual([tcp, ws])
        expect(await attempt(tcp)).toBe("in")
      } finally {
        taken.stop(true)
      }
    }))

  test("that had to make room come back when the reload is refused", () =>
    withBroker(two, async ({ names, port, reload }) => {
      const fixed = port()
      await reload({ ...two, listeners: { ...two.listeners, tcp: { port: fixed, host: "127.0.0.1" } } })
      const client = await enter(fixed)
      const listeners = {
        tcp: { port: fixed, host: "192.0.2.1" },
        ws: two.listeners.ws
      }
      expect(await reload({ ...two, listeners })).toStartWith(
        `listener tcp cannot listen on 192.0.2.1:${fixed}: `
      )
      expect(names()).toEqual(["tcp", "ws"])
      expect(await attempt(fixed)).toBe("in")
      expect(await isServed(client)).toBe(true)
    }))
})

describe("a configuration that cannot be used", () => {
  const cases: ReadonlyArray<readonly [name: string, content: unknown, message: RegExp]> = [
    ["is no JSON", "{", /heddle\.json: cannot be read/],
    [
      "has a wrong value",
      { ...base, limits: { connectionsMax: 0 }, session: { weight: 0 } },
      /2 problems.*limits\.connectionsMax: 0 is not allowed.*session\.weight: 0 is not allowed/s
    ],
    [
      "names users that are not there",
      { ...base, authentication: { methods: ["password-file"], passwordFile: { path: "nobody" } } },
      /nobody cannot be read/
    ],
    [
      "names a certificate that is not there",
      { ...base, listeners: { ...base.listeners, tls: { port: 0, tls: { cert: "no.pem", key: "no.key" } } } },
      /listeners\.tls\.tls\.cert: cannot read/
    ]
  ]
  for (const [name, content, message] of cases) {
    test(`${name}: the one before stays in force`, () =>
      withBroker(base, async ({ names, port, reload }) => {
        const client = await enter(port())
        expect(await reload(content)).toMatch(message)
        expect(names()).toEqual(["tcp"])
        expect(await isServed(client)).toBe(true)
        expect(await attempt(port())).toBe("in")
        expect(await reload(base)).toBe("configuration reloaded: nothing has changed")
      }))
  }
})

describe("what is watched", () => {
  /** Runs with the loop, and hands out the lines of the log as they come. */
  const withLoop = (body: (next: () => Promise<string>) => Promise<void>): Promise<void> => {
    write(base)
    const lines: Array<string> = []
    const waiting: Array<(line: string) => void> = []
    const logger = Logger.make<unknown, void>(({ message }) => {
      const line = String(Array.isArray(message) ? message[0] : message)
      const waiter = waiting.shift()
      if (waiter === undefined) lines.push(line)
      else waiter(line)
    })
    const again = resolveConfig({ file: Option.some(file), env: {} })
    const next = () => {
      const line = lines.shift()
      return line === undefined
        ? new Promise<string>((settle) => waiting.push(settle))
        : Promise.resolve(line)
    }
    const program = Effect.gen(function* () {
      const configuration: Configuration = { ...(yield* again), file: Option.some(file), again }
      yield* Effect.gen(function* () {
        yield* reloadWhenAsked(configuration, "5 millis")
        yield* Effect.promise(() => body(next))
      }).pipe(Effect.scoped, Effect.provide(runningLayer(configuration, { level: LogLevel.None })))
    })
    return Effect.runPromise(
      Effect.provide(program, [BunContext.layer, Logger.replace(Logger.defaultLogger, logger)])
    )
  }

  test("is the file: a change is taken up, what is wrong is told and mended", () =>
    withLoop(async (next) => {
      write({ ...base, session: { weight: 2 } })
      expect(await next()).toBe("configuration reloaded: session.weight: 1 -> 2")
      write("{")
      expect(await next()).toMatch(/^configuration not reloaded; what was in force stays\. .*cannot be read/s)
      write({ ...base, session: { weight: 3 } })
      expect(await next()).toBe("configuration reloaded: session.weight: 2 -> 3")
      rmSync(file)
      expect(await next()).toMatch(/^configuration not reloaded; .*cannot be read/s)
      write({ ...base, session: { weight: 4 } })
      expect(await next()).toBe("configuration reloaded: session.weight: 3 -> 4")
    }))

  test("is SIGHUP, which is answered also when there is nothing to do", () =>
    withLoop(async (next) => {
      process.kill(process.pid, "SIGHUP")
      expect(await next()).toBe("configuration reloaded: nothing has changed")
    }))

  test("ends with the scope: SIGHUP is nobody's again", async () => {
    await withLoop(() => Promise.resolve())
    expect(process.listenerCount("SIGHUP")).toBe(0)
  })
})

describe("the log", () => {
  test("has another level as soon as the threshold is another, also for fibers that are there", async () => {
    const log = spyOn(console, "log").mockImplementation(() => undefined)
    const threshold = { level: LogLevel.Info }
    const program = Effect.gen(function* () {
      yield* Effect.logDebug("one")
      threshold.level = LogLevel.Debug
      yield* Effect.logDebug("two")
      threshold.level = LogLevel.None
      yield* Effect.logFatal("three")
    })
    await Effect.runPromise(Effect.provide(program, logLayer("json", threshold)))
    const printed = log.mock.calls.map(([line]) => JSON.parse(String(line)).message)
    log.mockRestore()
    expect(printed).toEqual(["two"])
  })
})
