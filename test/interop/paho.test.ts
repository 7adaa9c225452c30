/** Paho for Python against the broker. */

import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { join } from "node:path"
import { type InteropBroker, startInteropBroker, transports } from "./interopBroker.ts"
import { endPrograms, isSkipped, Program } from "./Program.ts"

// Real sockets and processes on a busy machine: slow is not wrong.
setDefaultTimeout(20_000)

afterEach(endPrograms)

/** The distribution's Python: it is the one that has the distribution's Paho. */
const python = "/usr/bin/python3"

const hasPaho = spawnSync(python, ["-c", "import paho.mqtt.client"]).status === 0

const script = join(import.meta.dir, "paho_client.py")

const versions = [
  ["3.1", 3],
  ["3.1.1", 4],
  ["5.0", 5]
] as const

const places = versions.flatMap(([name, version]) =>
  transports.map((transport) => [name, transport, version] as const)
)

describe.skipIf(isSkipped(python) || (!hasPaho && process.env.CI === undefined))(
  "Paho for Python (needs python3-paho-mqtt, openssl)",
  () => {
    let broker: InteropBroker
    beforeAll(async () => {
      broker = await startInteropBroker()
    })
    afterAll(() => broker.stop())

    test.each(places)("MQTT %s over %s: each QoS, properties, a will", async (_name, transport, version) => {
      const args = [transport, String(version), String(broker.port(transport)), broker.files.ca]
      const program = await new Program([python, script, ...args]).succeeded()
      const name = `paho-${transport}-${version}`
      const properties =
        version === 5
          ? [
              "text/plain",
              "00ff",
              "answers",
              [
                ["a", "1"],
                ["a", "2"]
              ]
            ]
          : null
      const message = (qos: number) => ({
        event: "message",
        topic: `${name}/topic`,
        payload: `qos ${qos}`,
        qos,
        retain: false,
        properties
      })
      const events: ReadonlyArray<unknown> = program.lines.map((line) => JSON.parse(line))
      expect(events.slice(0, 2)).toEqual([
        { event: "connect", code: 0, present: 0 },
        { event: "subscribe", granted: [2] }
      ])
      // Paho shows a QoS 2 message when it is released.
      expect(events.slice(2, 5)).toEqual([message(0), message(1), message(2)])
      expect(events[5]).toMatchObject({ topic: `${name}/will`, payload: "gone", qos: 1 })
      expect(events[6]).toEqual({ event: "disconnect", code: 0 })
    })
  }
)
