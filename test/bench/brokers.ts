/** The brokers that are measured, each started as a process of its own on a free port of the loopback. */

import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Subprocess } from "bun"

export interface BrokerProcess {
  readonly port: number
  readonly pid: number
  readonly stop: () => Promise<void>
}

export interface BrokerKind {
  readonly name: string
  /** `pin` stands before the command line. */
  readonly start: (pin: ReadonlyArray<string>) => Promise<BrokerProcess>
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

export const heddle: BrokerKind = {
  name: "heddle",
  start: async (pin) => {
    const command = [...pin, process.execPath, join(import.meta.dir, "server.ts")]
    const child = Bun.spawn(command, { stdout: "pipe", stderr: "inherit", stdin: "ignore" })
    const { pid, port } = JSON.parse(await firstLine(child.stdout)) as { pid: number; port: number }
    return { pid, port, stop: () => stop(child) }
  }
}

const freePort = (): number => {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } })
  const { port } = listener
  listener.stop(true)
  return port
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

/** The same limits and the same socket options as ours; nothing stored, nothing logged. */
const mosquittoConfig = (port: number): string =>
  [
    `listener ${port} 127.0.0.1`,
    "allow_anonymous true",
    "max_inflight_messages 1000",
    "max_queued_messages 100000",
    "max_connections -1",
    "set_tcp_nodelay true",
    "persistence false",
    "log_type error",
    ""
  ].join("\n")

/** Where it is installed; undefined when it is not. */
const mosquittoPath = (): string | undefined =>
  Bun.which("mosquitto") ?? ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"].find(existsSync)

/** Undefined when mosquitto is not installed. */
export const mosquitto = (): BrokerKind | undefined => {
  const path = mosquittoPath()
  if (path === undefined) return undefined
  return {
    name: "mosquitto",
    start: async (pin) => {
      const directory = mkdtempSync(join(tmpdir(), "heddle-bench-"))
      const config = join(directory, "mosquitto.conf")
      const port = freePort()
      writeFileSync(config, mosquittoConfig(port))
      const child = Bun.spawn([...pin, path, "-c", config], { stdio: ["ignore", "ignore", "inherit"] })
      for (let attempt = 0; !(await accepts(port)); attempt++) {
        if (attempt === 100 || child.exitCode !== null) throw new Error("mosquitto does not listen")
        await Bun.sleep(50)
      }
      return {
        pid: child.pid,
        port,
        stop: async () => {
          await stop(child)
          rmSync(directory, { recursive: true, force: true })
        }
      }
    }
  }
}
