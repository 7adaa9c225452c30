/**
 * The brokers that are measured, each started as a process of its own on a free port of the loopback. One
 * that stores has a directory of its own, which goes when it stops.
 */

import { spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import type { Subprocess } from "bun"
import manifest from "../../package.json" with { type: "json" }
import type { DurabilityLevel } from "../../src/storage/Journal.ts"
import { isOpensslAvailable, testCertificates } from "../support/certificates.ts"

export interface BrokerProcess {
  readonly port: number
  readonly pid: number
  /** Of the loopback, where Heddle tells what its storage has counted. */
  readonly countersPort?: number
  readonly stop: () => Promise<void>
}

export interface StartOptions {
  /** Stands before the command line. */
  readonly pin: ReadonlyArray<string>
  readonly tls: boolean
  /** Of the loopback, to listen on: more than one where the clients need more ports than one has. */
  readonly addresses: ReadonlyArray<string>
}

/** Heddle over a database says which level it is at, mosquitto that it writes a file: `heddle/disk`. */
export interface BrokerKind {
  readonly name: string
  readonly version: string
  /** Measured in the first repetition only: it shows where others are, and no goal depends on it. */
  readonly orientation: boolean
  readonly start: (options: StartOptions) => Promise<BrokerProcess>
}

const stop = async (child: Subprocess): Promise<void> => {
  child.kill("SIGTERM")
  const killed = setTimeout(() => child.kill("SIGKILL"), 5000)
  await child.exited
  clearTimeout(killed)
}

/** The first line that a process prints. */
const firstLine = async (stream: ReadableStream<Uint8Array>): Promise<string> => {
  let text = ""
  for await (const chunk of stream) {
    text += Buffer.from(chunk).toString()
    const end = text.indexOf("\n")
    if (end >= 0) return text.slice(0, end)
  }
  throw new Error("the broker ended before it listened")
}

/** Why TLS cannot be measured here; undefined when it can. */
export const tlsProblem = isOpensslAvailable ? undefined : "openssl is not installed"

/** Certificate and key in files of their own, for as long as a broker runs. */
interface KeyFiles {
  readonly directory: string
  readonly cert: string
  readonly key: string
}

const keyFiles = (): KeyFiles => {
  const directory = temporaryIn(tmpdir())
  const { server } = testCertificates()
  const files = { directory, cert: join(directory, "server.pem"), key: join(directory, "server.key") }
  writeFileSync(files.cert, server.cert)
  writeFileSync(files.key, server.key, { mode: 0o644 })
  return files
}

export const temporaryIn = (directory: string): string => mkdtempSync(join(directory, "heddle-bench-"))

export const remove = (directory: string): void => rmSync(directory, { recursive: true, force: true })

const freePort = (): number => {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } })
  const { port } = listener
  listener.stop(true)
  return port
}

/** A program that takes `PORT ADDRESS[,ADDRESS] [CERT KEY]` and prints a line when it listens. */
const announced = async (
  command: ReadonlyArray<string>,
  { addresses, pin, tls }: StartOptions
): Promise<BrokerProcess> => {
  const files = tls ? keyFiles() : undefined
  const port = freePort()
  const where = [String(port), addresses.join(","), ...(files === undefined ? [] : [files.cert, files.key])]
  const child = Bun.spawn([...pin, ...command, ...where], { stdio: ["ignore", "pipe", "inherit"] })
  const countersPort = /counters at (\d+)/.exec(await firstLine(child.stdout))?.[1]
  return {
    pid: child.pid,
    port,
    ...(countersPort === undefined ? {} : { countersPort: Number(countersPort) }),
    stop: async () => {
      await stop(child)
      if (files !== undefined) remove(files.directory)
    }
  }
}

const serverCommand = [process.execPath, join(import.meta.dir, "server.ts")]

/** With nothing on disk. */
export const heddle: BrokerKind = {
  name: "heddle",
  version: manifest.version,
  orientation: false,
  start: (options) => announced(serverCommand, options)
}

/** Heddle over a database below `dataDirectory`, at a level. */
export const heddleStored = (
  durability: DurabilityLevel,
  dataDirectory: string
): BrokerKind & { readonly startIn: (path: string, options: StartOptions) => Promise<BrokerProcess> } => {
  const startIn = (path: string, options: StartOptions) =>
    announced([...serverCommand, "--data", path, "--durability", durability], options)
  return {
    ...heddle,
    name: `${heddle.name}/${durability}`,
    startIn,
    start: async (options) => {
      const path = temporaryIn(dataDirectory)
      const broker = await startIn(path, options)
      const stop = () => broker.stop().finally(() => remove(path))
      return { ...broker, stop }
    }
  }
}

/**
 * Found from `directory` as a package: it is no dependency of ours. It runs on Node.js, which it is made for,
 * where that is installed. Undefined when there is none.
 */
export const aedes = (directory: string): BrokerKind | undefined => {
  const from = join(resolve(directory), "package.json")
  try {
    const entry = createRequire(from).resolve("aedes")
    const { version } = JSON.parse(readFileSync(join(entry, "..", "package.json"), "utf8")) as {
      version: string
    }
    const command = [Bun.which("node") ?? process.execPath, join(import.meta.dir, "aedes.mjs"), entry]
    return { name: "aedes", version, orientation: true, start: (options) => announced(command, options) }
  } catch {
    return undefined
  }
}

const accepts = async (port: number): Promise<boolean> => {
  try {
    const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data: () => {} } })
    socket.end()
    return true
  } catch {
    return false
  }
}

interface MosquittoConfig {
  readonly port: number
  readonly addresses: ReadonlyArray<string>
  readonly files: KeyFiles | undefined
  /** Where it writes what it holds, every half an hour and at its end; undefined never. */
  readonly persistence: string | undefined
}

/** The same limits and the same socket options as ours; nothing logged. */
const mosquittoConfig = ({ addresses, files, persistence, port }: MosquittoConfig): string =>
  [
    ...addresses.flatMap((address) => [
      `listener ${port} ${address}`,
      ...(files === undefined ? [] : [`certfile ${files.cert}`, `keyfile ${files.key}`]),
      "max_connections -1"
    ]),
    "allow_anonymous true",
    "max_inflight_messages 1000",
    "max_queued_messages 100000",
    "set_tcp_nodelay true",
    ...(persistence === undefined
      ? ["persistence false"]
      : ["persistence true", `persistence_location ${persistence}/`]),
    "log_type none",
    ""
  ].join("\n")

/** Where it is installed; undefined when it is not. */
const mosquittoPath = (): string | undefined =>
  Bun.which("mosquitto") ?? ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"].find(existsSync)

/** `dataDirectory`: where it keeps its file; undefined for none. */
const startMosquitto = async (
  path: string,
  options: StartOptions,
  dataDirectory: string | undefined
): Promise<BrokerProcess> => {
  const { addresses, pin, tls } = options
  const files = tls ? keyFiles() : undefined
  const directory = files?.directory ?? temporaryIn(dataDirectory ?? tmpdir())
  const persistence = dataDirectory === undefined ? undefined : directory
  // As root it becomes another user, who must still be able to read, and to write its file.
  spawnSync("chmod", [persistence === undefined ? "755" : "777", directory])
  const config = join(directory, "mosquitto.conf")
  const port = freePort()
  writeFileSync(config, mosquittoConfig({ port, addresses, files, persistence }))
  const child = Bun.spawn([...pin, path, "-c", config], { stdio: ["ignore", "ignore", "ignore"] })
  for (let attempt = 0; !(await accepts(port)); attempt++) {
    if (attempt === 100 || child.exitCode !== null) throw new Error("mosquitto does not listen")
    await Bun.sleep(50)
  }
  return {
    pid: child.pid,
    port,
    stop: async () => {
      await stop(child)
      remove(directory)
    }
  }
}

/** Undefined when it is not installed. Writes its file to `dataDirectory` where that is given. */
export const mosquitto = (dataDirectory?: string): BrokerKind | undefined => {
  const path = mosquittoPath()
  if (path === undefined) return undefined
  // It has no option for its version alone: its help begins with it, and ends with an error.
  const help = spawnSync(path, ["-h"], { encoding: "utf8" }).stdout
  const version = /version (\S+)/.exec(help)?.[1] ?? "unknown"
  const start = (options: StartOptions) => startMosquitto(path, options, dataDirectory)
  return dataDirectory === undefined
    ? { name: "mosquitto", version, orientation: false, start }
    : { name: "mosquitto/file", version, orientation: true, start }
}
