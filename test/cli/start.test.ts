/**
 * The real process: a configuration file in, a broker on every kind of listener, signals, new certificates,
 * refusals.
 */

import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import * as net from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as tls from "node:tls"
import { connect, connectAsync, type IClientOptions, type MqttClient } from "mqtt"
import { endPrograms, isSkipped, Program } from "../interop/Program.ts"
import { testCertificates } from "../support/certificates.ts"

// Real sockets and processes on a busy machine: slow is not wrong.
setDefaultTimeout(20_000)

afterEach(endPrograms)

const root = join(import.meta.dir, "../..")

describe.skipIf(isSkipped())("heddle as a process (needs the openssl command)", () => {
  let directory: string
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "heddle-start-"))
  })
  afterAll(() => rmSync(directory, { recursive: true, force: true }))

  const file = (name: string, text: string): string => {
    const path = join(directory, name)
    writeFileSync(path, text)
    return path
  }
  const certify = (which: "server" | "renewed"): { readonly cert: string; readonly key: string } => {
    const { cert, key } = testCertificates()[which]
    return { cert: file("server.pem", cert), key: file("server.key", key) }
  }

  const heddle = (...args: ReadonlyArray<string>) =>
    new Program([process.execPath, join(root, "src/main.ts"), ...args], {
      env: { NO_COLOR: "1" },
      cwd: directory
    })

  const startHeddle = async (name: string): Promise<Running> => {
    const { cert, key } = certify("server")
    const secure = { port: 0, tls: { cert, key } }
    const socket = join(directory, `${name}.sock`)
    const listeners = {
      tcp: { port: 0, host: "127.0.0.1" },
      ws: { port: 0, host: "127.0.0.1" },
      tls: { host: "127.0.0.1", ...secure },
      wss: { host: "127.0.0.1", ...secure },
      unix: { path: socket }
    }
    const config = file(`${name}.json`, JSON.stringify({ listeners, storage: { path: name } }))
    const program = heddle("--config", config)
    await program.line(/mosquitto_pub/)
    return new Running(program, socket)
  }

  test("listens where its configuration says, and tells where that is", async () => {
    const running = await startHeddle("listens")
    const { lines } = running.program
    expect(lines.find((line) => line.startsWith("Heddle"))).toMatch(/^Heddle \d+\.\d+\.\d+$/)
    expect(lines.find((line) => line.includes("unix"))).toEndWith(join(directory, "listens.sock"))
    const clients = [
      await running.connect("mqtt", "tcp"),
      await running.connect("mqtts", "tls"),
      await running.connect("ws", "ws"),
      await running.connect("wss", "wss"),
      await running.connectUnix()
    ]
    const all = Promise.all(
      clients.map(
        (client) => new Promise<string>((done) => client.on("message", (_, text) => done(`${text}`)))
      )
    )
    await Promise.all(clients.map((client) => client.subscribeAsync("hello", { qos: 1 })))
    await clients[0]?.publishAsync("hello", "everybody", { qos: 1 })
    expect(await all).toEqual(clients.map(() => "everybody"))
    await Promise.all(clients.map((client) => client.endAsync()))
    running.program.kill("SIGTERM")
    expect(await running.program.exited).toBe(0)
  })

  test.each(["SIGTERM", "SIGINT"] as const)(
    "%s: clients are told, and the exit code is 0",
    async (signal) => {
      const running = await startHeddle(signal)
      const clients = [await running.connect("mqtt", "tcp"), await running.connect("wss", "wss")]
      const told = clients.map(
        (client) => new Promise((done) => client.once("disconnect", ({ reasonCode }) => done(reasonCode)))
      )
      running.program.kill(signal)
      expect(await Promise.all(told)).toEqual([0x8b, 0x8b])
      expect(await running.program.exited).toBe(0)
      expect(running.program.output).not.toContain("ERROR")
    }
  )

  test("SIGHUP: the configuration is read again, and clients stay", async () => {
    const running = await startHeddle("reloads")
    const client = await running.connect("mqtt", "tcp")
    const path = join(directory, "reloads.json")
    const content = JSON.parse(readFileSync(path, "utf8"))
    writeFileSync(path, JSON.stringify({ ...content, session: { weight: 2 }, log: { level: "debug" } }))
    running.program.kill("SIGHUP")
    await running.program.line(/configuration reloaded: session\.weight: 1 -> 2, log\.level/)
    await client.publishAsync("still", "here", { qos: 1 })
    expect(client.connected).toBe(true)
    await client.endAsync()
    await running.program.line(/ClientDisconnected/)
    running.program.kill("SIGTERM")
    expect(await running.program.exited).toBe(0)
  })

  test("what it acknowledged is there when it was killed and started again", async () => {
    const first = await startHeddle("killed")
    expect(first.program.output).toContain(`in ${join(directory, "killed")}; acknowledged messages survive`)
    const sleeper = first.resume("sleeper")
    await sleeper.subscribeAsync("night/#", { qos: 2 })
    await sleeper.endAsync()
    const publisher = await first.connect("mqtt", "tcp")
    for (const qos of [1, 2] as const) await publisher.publishAsync(`night/${qos}`, "the owl hoots", { qos })
    await publisher.publishAsync("moon", "full", { qos: 1, retain: true })
    first.program.kill("SIGKILL")
    await first.program.exited
    publisher.end(true)

    const second = await startHeddle("killed")
    const heard: Array<string> = []
    const client = second.resume("sleeper")
    const all = new Promise<void>((resolve) => {
      client.on("message", (topic) => {
        if (heard.push(topic) === 3) resolve()
      })
    })
    await client.subscribeAsync("moon", { qos: 1 })
    await all
    expect(heard.toSorted()).toEqual(["moon", "night/1", "night/2"])
    await client.endAsync()
    second.program.kill("SIGTERM")
    expect(await second.program.exited).toBe(0)
  })

  test("new certificate files are used by new connections, and the old ones live on", async () => {
    const running = await startHeddle("renewal")
    const old = await running.connect("mqtts", "tls")
    expect(await running.commonName("tls")).toBe("server")
    certify("renewed")
    await running.program.line(/listener tls uses the new certificates/)
    await running.program.line(/listener wss uses the new certificates/)
    expect(await running.commonName("tls")).toBe("renewed")
    expect(await running.commonName("wss")).toBe("renewed")
    await old.subscribeAsync("still/here", { qos: 1 })
    expect(old.connected).toBe(true)
    await old.endAsync()
    running.program.kill("SIGTERM")
    expect(await running.program.exited).toBe(0)
  })

  test("certificate files that cannot be used are told once, and the old ones stay", async () => {
    const running = await startHeddle("broken")
    file("server.key", "not a key")
    await running.program.line(/certificates not reloaded.*listener tls/)
    expect(await running.commonName("tls")).toBe("server")
    certify("renewed")
    await running.program.line(/listener tls uses the new certificates/)
    expect(running.program.lines.filter((line) => /not reloaded.*listener tls/.test(line))).toHaveLength(1)
    running.program.kill("SIGTERM")
    expect(await running.program.exited).toBe(0)
  })

  test("a port in use is one line that names it, and exit code 1", async () => {
    const taken = net.createServer().listen(0, "127.0.0.1")
    await new Promise((resolve) => taken.once("listening", resolve))
    const { port } = taken.address() as net.AddressInfo
    const config = file("taken.json", JSON.stringify({ listeners: { tcp: { port, host: "127.0.0.1" } } }))
    const program = heddle("--config", config)
    expect(await program.exited).toBe(1)
    expect(program.lines).toEqual([])
    expect(program.output.trim()).toMatch(
      new RegExp(`^heddle: listener tcp cannot listen on 127\\.0\\.0\\.1:${port}: .*in use$`)
    )
    taken.close()
  })

  test("a certificate file that does not exist is one line that names it, and exit code 1", async () => {
    const missing = join(directory, "missing.pem")
    const listeners = { tls: { port: 0, tls: { cert: missing, key: missing } } }
    const program = heddle("--config", file("missing.json", JSON.stringify({ listeners })))
    expect(await program.exited).toBe(1)
    expect(program.output.trim()).toMatch(/^heddle: listeners\.tls\.tls\.cert: cannot read .*missing\.pem.*$/)
  })

  test("a bad configuration is refused with everything that is wrong with it, and exit code 1", async () => {
    const config = file("bad.yaml", "listeners:\n  tcp:\n    port: 70000\nlimits:\n  acceptRat: 1\n")
    const program = heddle("--config", config)
    expect(await program.exited).toBe(1)
    expect(program.output).toContain("listeners.tcp.port")
    expect(program.output).toContain("acceptRat")
  })
})

/** A broker that has said where it listens. */
class Running {
  constructor(
    readonly program: Program,
    private readonly socket: string
  ) {}

  port(listener: string): number {
    const line = this.program.lines.find((each) => new RegExp(`(^| )${listener} +\\S+:\\d+`).test(each))
    return Number(/:(\d+)(\/mqtt)?$/.exec(line ?? "")?.[1])
  }

  connect(scheme: "mqtt" | "mqtts" | "ws" | "wss", listener: string): Promise<MqttClient> {
    const path = scheme.startsWith("ws") ? "/mqtt" : ""
    return connectAsync(`${scheme}://127.0.0.1:${this.port(listener)}${path}`, this.options)
  }

  /** A client that connects to a session that is kept for an hour. */
  resume(clientId: string): MqttClient {
    const properties = { sessionExpiryInterval: 3600 }
    return connect(`mqtt://127.0.0.1:${this.port("tcp")}`, {
      ...this.options,
      clientId,
      clean: false,
      properties
    })
  }

  connectUnix(): Promise<MqttClient> {
    return connectAsync(`mqtt+unix://${this.socket}`, this.options)
  }

  private get options(): IClientOptions {
    return { protocolVersion: 5, reconnectPeriod: 0, ca: testCertificates().authority.cert }
  }

  /** The name in the certificate that a new connection sees. */
  commonName(listener: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const { cert } = testCertificates().authority
      const socket = tls.connect({ host: "127.0.0.1", port: this.port(listener), ca: cert }, () => {
        resolve(String(socket.getPeerCertificate().subject.CN))
        socket.destroy()
      })
      socket.on("error", reject)
    })
  }
}
