/**
 * A client that keeps its side of the Session State as MQTT 5.0 section 4.3 says: it sends again what was not
 * acknowledged, goes on with PUBREL, and delivers a QoS 2 message once, by its identifier (method A).
 */

import type { Packet } from "mqtt-packet"
import type { MemoryClient } from "../../src/transport/Memory.ts"
import { properties, raw, ServerReader } from "../support/raw.ts"
import type { Message } from "./Messages.ts"
import type { Reference } from "./Reference.ts"
import { type ClientId, type Filter, isRetainedTopic, type Qos, type Step, willTopic } from "./Step.ts"

interface Outgoing {
  readonly packetId: number
  readonly message: Message
  readonly isEmpty: boolean
  isReceived: boolean
}

interface Incoming {
  readonly number: number
  /** Sent again, it carries DUP: the broker knows that it was sent. */
  isKnownSent: boolean
}

type Connect = Extract<Step, { _tag: "Connect" }>

export class ModelClient {
  private wire: MemoryClient | undefined
  private version: 4 | 5 = 5
  /** CONNACK has come: the broker reads what is sent. */
  private isGreeted = false
  private nextPacketId = 1
  private readonly outgoing = new Map<number, Outgoing>()
  /** QoS 2 messages whose PUBREL is to come, by identifier. */
  private readonly incoming = new Map<number, Incoming>()
  private readonly asked = new Map<number, Filter>()
  private owed: Array<() => void> = []
  private isHolding = false
  private isDeaf = false
  private unheard: Array<Packet> = []
  /** Counts what was received, so that it can be seen whether anything happens. */
  activity = 0

  constructor(
    readonly clientId: ClientId,
    private readonly reference: Reference
  ) {}

  get isConnected(): boolean {
    return this.wire !== undefined && this.isGreeted
  }

  /** Messages that have not been acknowledged to the end. */
  get unfinished(): number {
    return this.outgoing.size
  }

  connect(wire: MemoryClient, step: Connect): void {
    this.leave()
    const { expiry, isClean, receiveMaximum, version } = step
    this.wire = wire
    this.version = version
    const will =
      step.will === undefined
        ? undefined
        : {
            message: this.reference.message(`will ${this.clientId}`, willTopic, step.will.qos).number,
            delay: step.will.delay
          }
    const willProperties =
      version === 5 && step.will !== undefined ? properties.willDelayInterval(step.will.delay) : undefined
    const terms = Buffer.concat([
      properties.sessionExpiryInterval(expiry),
      properties.receiveMaximum(receiveMaximum)
    ])
    this.send(
      raw.connect({
        clientId: this.clientId,
        version,
        clean: isClean,
        keepAlive: 0,
        ...(version === 5 && { properties: terms }),
        ...(step.will !== undefined && {
          will: {
            topic: willTopic,
            payload: String(will?.message),
            qos: step.will.qos,
            ...(willProperties !== undefined && { properties: willProperties })
          }
        })
      })
    )
    const connected = (isPresent: boolean) => {
      this.reference.connected(this.clientId, { isClean, expiry, will }, isPresent)
      this.resume(isPresent)
    }
    if (isClean) connected(false)
    void this.read(wire, new ServerReader(version), (isPresent) => {
      this.isGreeted = true
      if (!isClean) return connected(isPresent)
      if (isPresent) this.reference.violate(`${this.clientId}: a session is present after a clean start`)
      this.reference.greeted(this.clientId)
    }).catch((error) => this.reference.violate(`the test itself fails: ${error}`))
  }

  /** The connection breaks. */
  drop(): void {
    const { wire } = this
    if (wire === undefined) return
    this.leave()
    wire.destroy()
  }

  /** The broker dies. It may not know that we were connected, and then nothing of what it sent us. */
  crash(): void {
    const isKnown = this.reference.isSurelyConnected(this.clientId)
    if (this.wire !== undefined && !isKnown)
      for (const each of this.incoming.values()) each.isKnownSent = false
    this.drop()
  }

  disconnect(withWill: boolean): void {
    const { wire } = this
    if (wire === undefined) return
    // Version 4 has no reason code: what it wants is a connection that breaks.
    if (withWill && this.version === 4) return this.drop()
    this.send(raw.disconnect(withWill ? { reasonCode: 4 } : {}))
    this.leave()
    wire.close()
  }

  publish(message: Message, isEmpty: boolean): void {
    if (message.qos === 0) return this.sendPublish(message, { packetId: 0, isEmpty, dup: false })
    const packetId = this.takePacketId()
    this.outgoing.set(packetId, { packetId, message, isEmpty, isReceived: false })
    this.sendPublish(message, { packetId, isEmpty, dup: false })
  }

  subscribe(filter: Filter, qos: Qos): void {
    const packetId = this.takePacketId()
    this.asked.set(packetId, filter)
    this.send(raw.subscribe({ version: this.version, packetId, filters: [[filter, qos]] }))
  }

  unsubscribe(filter: Filter): void {
    const packetId = this.takePacketId()
    this.asked.set(packetId, filter)
    this.send(raw.unsubscribe({ version: this.version, packetId, filters: [filter] }))
  }

  hold(): void {
    this.isHolding = true
  }

  acknowledge(count: number): void {
    for (const send of this.owed.splice(0, count)) send()
  }

  release(): void {
    this.isHolding = false
    this.acknowledge(this.owed.length)
  }

  deafen(): void {
    this.isDeaf = true
  }

  listen(): void {
    this.isDeaf = false
    for (const packet of this.unheard.splice(0)) this.receive(packet)
  }

  private leave(): void {
    this.wire = undefined
    this.isGreeted = false
    this.owed = []
    this.unheard = []
    this.asked.clear()
  }

  private async read(
    wire: MemoryClient,
    reader: ServerReader,
    connected: (isPresent: boolean) => void
  ): Promise<void> {
    for (let chunk = await wire.receive(); chunk !== undefined; chunk = await wire.receive()) {
      for (const packet of reader.push(chunk)) {
        this.activity++
        if (this.wire !== wire) return
        if (packet.cmd === "connack") connected(packet.sessionPresent)
        else if (this.isDeaf) this.unheard.push(packet)
        else this.receive(packet)
      }
    }
    if (this.wire !== wire) return
    this.reference.violate(`${this.clientId}: the broker has closed the connection`)
    this.leave()
  }

  /** [MQTT-4.4.0-1] */
  private resume(isPresent: boolean): void {
    if (!isPresent) {
      this.outgoing.clear()
      this.incoming.clear()
    }
    for (const { isEmpty, isReceived, message, packetId } of this.outgoing.values()) {
      if (isReceived) this.send(raw.pubrel({ packetId }))
      else this.sendPublish(message, { packetId, isEmpty, dup: true })
    }
  }

  private sendPublish(
    message: Message,
    options: { readonly packetId: number; readonly isEmpty: boolean; readonly dup: boolean }
  ): void {
    const { dup, isEmpty, packetId } = options
    const { qos, topic } = message
    const retain = isRetainedTopic(topic)
    const payload = isEmpty ? "" : String(message.number)
    this.send(raw.publish({ version: this.version, topic, payload, qos, packetId, dup, retain }))
    if (retain) this.reference.retain(message, isEmpty)
    this.reference.route(message, { isAgain: dup, isCertain: true })
  }

  private receive(packet: Packet): void {
    switch (packet.cmd) {
      case "publish":
        return this.onPublish(Number(packet.payload.toString()), packet)
      case "pubrel":
        return this.answer(() => this.onPubrel(packet.messageId ?? 0))
      case "puback":
      case "pubrec":
        return this.onOutcome(packet.messageId ?? 0, packet.cmd === "pubrec", packet.reasonCode ?? 0)
      case "pubcomp":
        this.outgoing.delete(packet.messageId ?? 0)
        return
      case "suback":
      case "unsuback": {
        const filter = this.asked.get(packet.messageId ?? 0)
        this.asked.delete(packet.messageId ?? 0)
        // To unsubscribe what was not subscribed changes nothing; version 4 is not told which it was.
        const hasChanged = packet.cmd === "suback" || packet.granted?.includes(0) === true
        if (filter !== undefined && hasChanged) this.reference.granted(this.clientId, filter)
        return
      }
      default:
        this.reference.violate(`${this.clientId}: a ${packet.cmd} comes`)
    }
  }

  private onPublish(number: number, packet: Extract<Packet, { cmd: "publish" }>): void {
    const { dup, qos } = packet
    const packetId = packet.messageId ?? 0
    if (qos < 2) this.reference.received(this.clientId, number, qos)
    if (qos === 1) {
      this.answer(() => {
        this.send(raw.puback({ packetId }))
        this.reference.done(this.clientId, number)
      })
    }
    if (qos !== 2) return
    const known = this.incoming.get(packetId)
    this.incoming.set(packetId, { number, isKnownSent: true })
    // [MQTT-4.3.3-10]
    if (known === undefined) this.reference.received(this.clientId, number, qos)
    else if (known.number !== number)
      this.reference.violate(
        `${this.clientId}: identifier ${packetId} of ${known.number} is given to ${number}`
      )
    // [MQTT-3.3.1-1]
    else if (!dup && known.isKnownSent)
      this.reference.violate(`${this.clientId}: ${number} comes again without DUP`)
    this.answer(() => this.send(raw.pubrec({ packetId })))
  }

  private onPubrel(packetId: number): void {
    const number = this.incoming.get(packetId)?.number
    this.incoming.delete(packetId)
    this.send(raw.pubcomp({ packetId }))
    if (number !== undefined) this.reference.done(this.clientId, number)
  }

  private onOutcome(packetId: number, isPubrec: boolean, reasonCode: number): void {
    const out = this.outgoing.get(packetId)
    if (out === undefined) return this.reference.violate(`${this.clientId}: an outcome of nothing`)
    if (reasonCode >= 0x80) this.reference.violate(`${this.clientId}: ${out.message.number} was refused`)
    else this.reference.acknowledged(out.message)
    if (!isPubrec) {
      this.outgoing.delete(packetId)
      return
    }
    out.isReceived = true
    this.answer(() => this.send(raw.pubrel({ packetId })))
  }

  private answer(send: () => void): void {
    if (this.isHolding) this.owed.push(send)
    else send()
  }

  private takePacketId(): number {
    do {
      this.nextPacketId = (this.nextPacketId % 65_535) + 1
    } while (this.outgoing.has(this.nextPacketId))
    return this.nextPacketId
  }

  private send(bytes: Uint8Array): void {
    void this.wire?.send(bytes)
  }
}
