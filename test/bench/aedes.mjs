/**
 * aedes as a process of its own: `node aedes.mjs ENTRY PORT ADDRESS[,ADDRESS]... [CERT KEY]`, ENTRY being the
 * file that its package resolves to. With its own defaults: in memory, without a log. Prints a line when it
 * listens, and runs until it is signalled.
 */

import { once } from "node:events"
import { readFileSync } from "node:fs"
import { createServer } from "node:net"
import { createServer as createTlsServer } from "node:tls"
import { pathToFileURL } from "node:url"

const [entry, port, addresses, certFile, keyFile] = process.argv.slice(2)
const { Aedes } = await import(pathToFileURL(entry).href)
const broker = await Aedes.createBroker()

const makeServer = () => {
  const options = { noDelay: true }
  if (certFile === undefined) return createServer(options, broker.handle)
  const secure = { ...options, cert: readFileSync(certFile), key: readFileSync(keyFile) }
  return createTlsServer(secure, broker.handle)
}

for (const host of addresses.split(",")) {
  await once(makeServer().listen({ port: Number(port), host, backlog: 511 }), "listening")
}
console.log("listening")
process.on("SIGTERM", () => process.exit(0))
