/**
 * Statements that no test of a server can show, each with the reason: those that bind a client alone, and
 * those that bind the server in a way that no client can see, with the place that ensures them. A waiver
 * for a statement that has a test is stale, and `coverage.test.ts` says so.
 */

export interface Waiver {
  /** As the names of tests have it. */
  readonly key: string
  readonly reason: string
}

const clientSide = (keys: ReadonlyArray<string>, reason: string): ReadonlyArray<Waiver> =>
  keys.map((key) => ({ key, reason: `binds the client only: ${reason}` }))

export const waivers: ReadonlyArray<Waiver> = [
  ...clientSide(["MQTT-3.1.2-20", "v3 MQTT-3.1.2-23"], "when it sends PINGREQ"),
  ...clientSide(["MQTT-3.1.2-21", "MQTT-3.2.2-21"], "it takes up Server Keep Alive"),
  ...clientSide(["MQTT-3.2.2-4", "MQTT-3.2.2-5"], "what it makes of Session Present"),
  ...clientSide(["MQTT-3.3.2-10"], "it accepts the Topic Aliases that it allowed"),
  ...clientSide(["MQTT-3.3.4-8"], "it does not delay other packets"),
  ...clientSide(["MQTT-4.5.0-2", "v3 MQTT-4.5.0-2"], "it acknowledges what it receives"),
  ...clientSide(["MQTT-4.6.0-1", "MQTT-4.6.0-4"], "the order in which it sends"),
  ...clientSide(["MQTT-6.0.0-3", "v3 MQTT-6.0.0-3"], "the subprotocols that it offers"),
  ...clientSide(["v3 MQTT-2.3.1-2", "v3 MQTT-2.3.1-3"], "its choice of Packet Identifiers"),
  ...clientSide(["v3 MQTT-3.14.4-1", "v3 MQTT-3.14.4-2"], "what it does after DISCONNECT"),
  ...clientSide(["v3 MQTT-7.1.2-1"], "its transports"),
  {
    key: "MQTT-4.2.0-1",
    reason: "a property of the transports: the TCP, TLS and WebSocket listeners and their own tests"
  },
  { key: "v3 MQTT-7.1.1-1", reason: "a property of the transports, as 5.0's MQTT-4.2.0-1" },
  {
    key: "v3 MQTT-4.7.3-3",
    reason:
      "two bytes of length cannot say more; topics made by the server itself are checked in TopicName.ts"
  },
  {
    key: "v3 MQTT-4.8.0-2",
    reason:
      "no full buffer is an error here: a full mailbox stops the reading of the socket, and a defect in a session closes its connection (Session.onDefect)"
  },
  { key: "v3 MQTT-7.0.0-1", reason: "the broker opens no connections to other servers" },
  {
    key: "v3 MQTT-7.0.0-2",
    reason: "a statement about what a client must know: the broker needs no extension"
  }
]
