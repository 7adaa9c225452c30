/**
 * The flows of one tenant against a broker until it is killed, in a process of its own that gives way to
 * every other. Prints, once a second, how many messages have been delivered in it.
 */

import { setPriority } from "node:os"
import { Rota } from "../LoadClient.ts"
import { connectAll } from "./clients.ts"
import { type FlowOptions, Traffic } from "./flows.ts"

const { flows, port } = JSON.parse(process.argv[2] ?? "{}") as {
  readonly flows: ReadonlyArray<FlowOptions>
  readonly port: number
}
setPriority(19)
const traffic = new Traffic(new Rota(), flows)
await connectAll(traffic.clients, port)
traffic.start()
let last = 0
setInterval(() => {
  const { received } = traffic.tally
  console.log(received - last)
  last = received
}, 1000)
