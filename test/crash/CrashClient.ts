/**
 * An MQTT client of the crash test, on a plain socket, so that every acknowledgement and every resend is its
 * own doing.
 *
 * It keeps its side of the Session State over reconnects, as MQTT 5.0 section 4.3 asks: PUBLISH again with
 * DUP, PUBREL again, and a QoS 2 message is the application's once, by its identifier, until PUBREL (4.3.3,
 * method A). Everything that it does and sees goes to the log.
 */

import { connect, type Socket } from "node:net"
import type { Packet } from "mqtt-packet"
import { properties, raw, ServerReader } from "../support/raw.ts"
import type { Log, Receipt, SentMessage, SubscriberLog, WillLog } from "./Log.ts"

export interface CrashClientOptions {
  readonly clientId: string
  readonly version: 4 | 5
  readonly isPersistent: boolean
  readonly receiveMaximum: number
  readonly subscription: SubscriberLog | undefined
}

interface Outgoing {
  readonly packetId: number
  readonly message: SentMessage
  readonly isRetained: boolean
  isReceived: boolean
}

const SESSION_EXPIRY_S = 3600

export class CrashClient {
  private socket: Socket | undefined
  private isReady = false
  /** The broker has said that it holds a session of ours: SUBACK came in it. */
  private hasSession = false
  private nextPacketId = 0
  private readonly outgoing = new Map<number, Outgoing>()
  private readonly incoming = new Map<number, string>()
  private will: WillLog | undefined
  /** Acknowledgements wait for this many milliseconds. */
  ackDelayMs = 0
  /** Called when a message of ours was acknowledged to the end, and when a connection is ready. */
  onProgress: () => void = () => {}
  onClosed: () => void = () => {}

  constructor(
    readonly options: CrashClientOptions,
    private readonly log: Log
  ) {}

  /** CONNACK has come. */
  get isConnected(): boolean {
    return this.isReady
  }

  /** Neither connected nor about to be. */
  get isAway(): boolean {
    return this.socket === undefined
  }

  get unfinished(): number {
    return this.outgoing.size
  }

  /** Connects; over another connection of ours when there is one. */
  connect(port: number, will?: WillLog, willDelay = 0): void {
    const { clientId, version } = this.options
    const socket = connect({ port, host: "127.0.0.1", noDelay: true })
    const reader = new ServerReader(version)
    this.socket = socket
    this.isReady = false
    this.will = will
    socket.on("connect", () => socket.write(this.connectPacket(will, willDelay)))
    socket.on("data", (bytes) => {
      if (this.socket !== socket) return
      for (const packet of reader.push(Buffer.from(bytes))) {
        // What a packet led to may have ended the connection.
        if (this.socket === socket) this.receive(packet)
      }
    })
    socket.on("error", () => socket.destroy())
    socket.on("close", () => {
      if (this.socket !== socket) return
      this.log.tell(clientId, "connection closed")
      this.forget()
      this.onClosed()
    })
  }

  /** The connection breaks. */
  drop(): void {
    const { socket } = this
    if (socket === undefined) return
    this.log.tell(this.options.clientId, "drops the connection")
    this.forget()
    socket.resetAndDestroy()
  }

  /** A proper end. */
  disconnect(): void {
    const { socket } = this
    if (socket === undefined) return
    this.log.tell(this.options.clientId, "DISCONNECT")
    this.forget()
    socket.end(raw.disconnect())
  }

  publish(message: SentMessage, isRetained: boolean): void {
    const packetId = this.takePacketId()
    const out = { packetId, message, isRetained, isReceived: false }
    this.outgoing.set(packetId, out)
    this.sendPublish(out, false)
  }

  private forget(): void {
    this.socket = undefined
    this.isReady = false
    this.will = undefined
  }

  private connectPacket(will: WillLog | undefined, willDelay: number): Buffer {
    const { clientId, isPersistent, receiveMaximum, version } = this.options
    const terms = Buffer.concat([
      properties.sessionExpiryInterval(isPersistent ? SESSION_EXPIRY_S : 0),
      properties.receiveMaximum(receiveMaximum)
    ])
    return raw.connect({
      clientId,
      version,
      clean: !isPersistent,
      keepAlive: 0,
      ...(version === 5 && { properties: terms }),
      ...(will !== undefined && {
        will: {
          ...{ topic: will.topic, payload: will.id, qos: will.qos },
          properties: properties.willDelayInterval(willDelay)
        }
      })
    })
  }

  private send(bytes: Uint8Array): void {
    this.socket?.write(bytes)
  }

  private receive(packet: Packet): void {
    const packetId = "messageId" in packet ? (packet.messageId ?? 0) : 0
    switch (packet.cmd) {
      case "connack":
        return this.onConnack(packet)
      case "suback":
        return this.onSuback(packet.granted.map(Number))
      case "publish":
        return this.onPublish(packet)
      case "pubrel":
        return this.later(() => {
          this.incoming.delete(packetId)
          this.send(raw.pubcomp({ packetId }))
        })
      case "puback":
        return this.onAcknowledged(packetId, packet.reasonCode ?? 0, true)
      case "pubrec":
        return this.onAcknowledged(packetId, packet.reasonCode ?? 0, false)
      case "pubcomp":
        this.outgoing.delete(packetId)
        return this.onProgress()
      default:
        this.log.violate(`${this.options.clientId} is sent a ${packet.cmd}`, this.options.clientId)
    }
  }

  private onConnack(packet: Extract<Packet, { cmd: "connack" }>): void {
    const { clientId, isPersistent, subscription } = this.options
    const { sessionPresent } = packet
    const code = packet.reasonCode ?? packet.returnCode ?? 0
    this.log.tell(clientId, `CONNACK ${code}, session ${sessionPresent ? "present" : "new"}`)
    if (code !== 0) return
    if (sessionPresent && !isPersistent)
      this.log.violate(`${clientId}: a clean start has a session`, clientId)
    if (!sessionPresent && this.hasSession) this.log.violate(`${clientId}: the session is gone`, clientId)
    if (!sessionPresent) {
      this.outgoing.clear()
      this.incoming.clear()
    }
    this.isReady = true
    const isSubscribed = sessionPresent && this.hasSession
    if (!isSubscribed) {
      const filters = [[subscription?.topicFilter ?? `own/${clientId}`, subscription?.qos ?? 0]] as const
      this.send(raw.subscribe({ version: this.options.version, packetId: this.takePacketId(), filters }))
    }
    for (const out of this.outgoing.values()) {
      if (out.isReceived) this.send(raw.pubrel({ packetId: out.packetId }))
      else this.sendPublish(out, true)
    }
    this.onProgress()
  }

  private onSuback(granted: ReadonlyArray<number>): void {
    const { clientId, isPersistent, subscription } = this.options
    this.log.tell(clientId, `SUBACK ${granted.join(" ")}`)
    // In its session the will is on record, too.
    if (isPersistent) {
      this.hasSession = true
      if (this.will !== undefined) this.will.isArmed = true
    }
    if (subscription !== undefined) subscription.subscribedAtMs ??= this.log.nowMs()
  }

  private onPublish(packet: Extract<Packet, { cmd: "publish" }>): void {
    const { clientId } = this.options
    const { dup, qos, retain, topic } = packet
    const id = packet.payload.toString()
    const packetId = packet.messageId ?? 0
    this.log.tell(clientId, `gets ${id} as ${packetId} at QoS ${qos}${dup ? " again" : ""}`)
    const receipt: Receipt = { id, topic, qos, isRetained: retain, atMs: this.log.nowMs() }
    if (qos < 2) this.options.subscription?.receipts.push(receipt)
    if (qos === 1) this.later(() => this.send(raw.puback({ packetId })))
    if (qos !== 2) return
    const known = this.incoming.get(packetId)
    if (known === undefined) this.options.subscription?.receipts.push(receipt)
    else if (known !== id)
      this.log.violate(`${clientId} gets ${id} as ${packetId}, which is ${known}`, id, known, clientId)
    this.incoming.set(packetId, id)
    this.later(() => this.send(raw.pubrec({ packetId })))
  }

  private onAcknowledged(packetId: number, reasonCode: number, isComplete: boolean): void {
    const { clientId } = this.options
    const out = this.outgoing.get(packetId)
    if (out === undefined) return
    const { message } = out
    this.log.tell(clientId, `hears ${isComplete ? "PUBACK" : "PUBREC"} ${reasonCode} for ${message.id}`)
    if (reasonCode >= 0x80) {
      // Refused: it may be published anew, under another identifier.
      this.outgoing.delete(packetId)
      this.publish(message, out.isRetained)
      return
    }
    message.acknowledgedAtMs ??= this.log.nowMs()
    if (isComplete) {
      this.outgoing.delete(packetId)
      this.onProgress()
      return
    }
    out.isReceived = true
    this.later(() => this.send(raw.pubrel({ packetId })))
  }

  private sendPublish({ isRetained, message, packetId }: Outgoing, dup: boolean): void {
    const { clientId, version } = this.options
    const { id, qos, topic } = message
    this.log.tell(clientId, `sends ${id} as ${packetId}${dup ? " again" : ""}`)
    this.send(raw.publish({ version, topic, payload: id, qos, packetId, dup, retain: isRetained }))
  }

  /** Does something, at once or after a while, if the connection is still this one. */
  private later(action: () => void): void {
    if (this.ackDelayMs === 0) return action()
    const { socket } = this
    setTimeout(() => {
      if (this.socket === socket) action()
    }, this.ackDelayMs)
  }

  private takePacketId(): number {
    do {
      this.nextPacketId = (this.nextPacketId % 65_535) + 1
    } while (this.outgoing.has(this.nextPacketId))
    return this.nextPacketId
  }
}
