/**
 * The floor below the broker's TLS connections: Bun's own TLS sockets with nothing around them. A client that
 * says anything is answered with CONNACK, so that the same clients can be used.
 */

const { tls } = JSON.parse(process.argv[2] ?? "{}") as {
  readonly tls: { readonly cert: string; readonly key: string }
}
const connack = Buffer.from([0x20, 2, 0, 0])
const listener = Bun.listen({
  hostname: "127.0.0.1",
  port: 0,
  tls,
  socket: {
    data: (socket) => {
      socket.write(connack)
    }
  }
})
const say = (answer: object) => console.log(JSON.stringify(answer))
process.stdin.on("data", () => {
  Bun.gc(true)
  say({ connections: 0, sessions: 0, subscriptions: 0, bufferBytes: 0 })
})
process.stdin.on("end", () => process.exit(0))
say({ port: listener.port, pid: process.pid })
