/**
 * aedes as a process of its own: `node aedes.mjs ENTRY [--tls CERT KEY]`, ENTRY being the file that its package
 * resolves to. Its own defaults: in memory, without a log. Prints one line of JSON with the port when it
 * listens, and runs until it is signalled.
 */

import { readFileSync } from "node:fs"
import { createServer } from "node:net"
import { createServer as createTlsServer } from "node:tls"
import { pathToFileURL } from "node:url"

const [entry, tls, certFile, keyFile] = process.argv.slice(2)
const { Aedes } = await import(pathToFileURL(entry).href)
const broker = await Aedes.createBroker()

const options = { noDelay: true }
const server =
  tls === "--tls"
    ? createTlsServer({ ...options, cert: readFileSync(certFile), key: readFileSync(keyFile) }, broker.handle)
    : createServer(options, broker.handle)

server.listen({ port: 0, host: "127.0.0.1", backlog: 511 }, () => {
  console.log(JSON.stringify({ port: server.address().port, pid: process.pid }))
})
process.on("SIGTERM", () => process.exit(0))
