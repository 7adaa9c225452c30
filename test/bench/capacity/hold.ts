/**
 * Holds idle clients until it is killed, in a process of its own because a process may have only so many
 * sockets. Prints a line when all are connected.
 */

import { connectAll, holdersOf } from "./clients.ts"

const { clientIds, port } = JSON.parse(await Bun.stdin.text()) as {
  readonly clientIds: ReadonlyArray<string>
  readonly port: number
}

const clients = holdersOf(clientIds)
await connectAll(clients, port)
console.log("connected")
setInterval(() => clients.length, 60_000)
