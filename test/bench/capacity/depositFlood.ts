/**
 * The deposits of one tenant at a broker until it is killed, in a process of its own that gives way to every
 * other. Prints, once a second, how many have been acknowledged in it.
 */

import { setPriority } from "node:os"
import { type DepositOptions, Deposits } from "./deposits.ts"

const { options, port } = JSON.parse(process.argv[2] ?? "{}") as {
  readonly options: DepositOptions
  readonly port: number
}
setPriority(19)
const deposits = new Deposits(options)
await deposits.prepare(port)
deposits.start()
console.log(0)
let last = 0
setInterval(() => {
  const { acknowledged } = deposits.tally
  console.log(acknowledged - last)
  last = acknowledged
}, 1000)
