/**
 * Messages for clients that are away: a million of them into sessions whose clients have left, each
 * acknowledged when it is on the disk; then all clients come back at once and are given what is theirs.
 *
 * A session has one publisher, and a message its number in that session's order: what a client gets must be
 * 0, 1, 2 and so on to the last, or the measurement fails.
 */

import { join } from "node:path"
import { heddleStored, remove, temporaryIn } from "../brokers.ts"
import { generate } from "../generate.ts"
import type { CapacityOptions, CapacityRow, CapacityScenario } from "./list.ts"
import type { OfflineRequest } from "./offlineLoad.ts"

/** Within the default limits of a session. */
const full = { sessions: 1000, messagesEach: 1000 }
const quick = { sessions: 100, messagesEach: 200 }

const timeoutMs = 300_000

const run = async (options: CapacityOptions): Promise<ReadonlyArray<CapacityRow>> => {
  const path = temporaryIn(options.dataDirectory)
  try {
    const where = { pin: options.brokerPin, tls: false, addresses: ["127.0.0.1"] }
    const broker = await heddleStored("disk", options.dataDirectory).startIn(path, where)
    try {
      const { pid, port } = broker
      const request: OfflineRequest = { ...(options.quick ? quick : full), pid, port, path }
      const program = join(import.meta.dir, "offlineLoad.ts")
      const rows = await generate({ program, request, pin: options.generatorPin, timeoutMs })
      return rows as ReadonlyArray<CapacityRow>
    } finally {
      await broker.stop()
    }
  } finally {
    remove(path)
  }
}

export const offlineFill: CapacityScenario = {
  kind: "capacity",
  name: "offline-fill",
  goal: "a million messages for a thousand absent clients, on disk, all of them in order when these return",
  run
}
