/**
 * One device of a soak run: it comes, subscribes, publishes, roams, is cut off and comes back, as its `act`
 * is told by a seeded generator; and it keeps MQTT's rules meanwhile, so that whatever the broker holds
 * against it is a finding.
 *
 * Its session has the packets that it owes (`outstanding`) and the QoS 2 identifiers that it has seen
 * (`incoming`); both live as long as the broker says that the session does.
 */

import type { Packet } from "mqtt-packet"
import { properties, raw, ServerReader, type Version } from "../support/raw.ts"
import type { Dial, Line } from "./Dial.ts"
import { Expectations } from "./Expectations.ts"
import { type Ledger, Received } from "./Ledger.ts"

export interface Habits {
  readonly clientId: string
  readonly index: number
  /** Devices of one neighbourhood talk to each other. */
  readonly neighbourhood: number
  readonly neighbours: number
  readonly version: Version
  /** Keeps its session: for ever at version 4, for `expirySeconds` at version 5. */
  readonly isPersistent: boolean
  readonly expirySeconds: number
}

/** What a client lives in. */
export interface World {
  readonly dial: Dial
  readonly ledger: Ledger
  /** Its own: the same seed leads the same life. */
  readonly random: (below: number) => number
  readonly nowMs: () => number
}

/** A connection. What comes over one that was left behind is not looked at. */
interface Attempt {
  readonly line: Line
  readonly reader: ServerReader
  readonly isClean: boolean
  readonly startedMs: number
  isOnline: boolean
  isLeft: boolean
}

interface Owed {
  readonly topic: string
  readonly payload: string
  readonly sequence: number
  readonly qos: number
  readonly again: Uint8Array
  isReleased: boolean
}

const OUTSTANDING_MAX = 20
/** How far clocks and timers may disagree about a session's end. */
const EXPIRY_TOLERANCE_MS = 1500

export class SoakClient {
  private attempt: Attempt | undefined
  private readonly received: Received
  private readonly outstanding = new Map<number, Owed>()
  private readonly incoming = new Set<number>()
  private readonly filters: Array<string> = []
  private readonly expectations: Expectations
  private packetId = 0
  private subscribeId = 0
  private isRetiring = false
  /** Its last connection is still open as far as the broker knows. */
  private isSilent = false
  /** Until when the broker must know our session: 0 when it has none. */
  private sessionUntilMs = 0

  private readonly habits: Habits
  private readonly dial: Dial
  private readonly ledger: Ledger
  private readonly random: (below: number) => number
  private readonly nowMs: () => number

  constructor(habits: Habits, world: World) {
    this.habits = habits
    this.dial = world.dial
    this.ledger = world.ledger
    this.random = world.random
    this.nowMs = world.nowMs
    this.received = new Received(habits.clientId, this.ledger)
    this.expectations = new Expectations(this.ledger)
  }

  get isConnecting(): boolean {
    return this.attempt !== undefined && !this.attempt.isOnline
  }

  get isGone(): boolean {
    return this.attempt === undefined
  }

  /** Away, with a session that ends without anybody's help. */
  get expiresByItself(): boolean {
    return this.attempt === undefined && this.habits.version === 5 && !this.isSilent
  }

  /** Does one thing that a device might do now. */
  act(): void {
    const { attempt } = this
    if (attempt === undefined) return this.connect(!this.habits.isPersistent || this.random(10) === 0)
    if (!attempt.isOnline) return
    const dice = this.random(100)
    if (dice < 60) this.publish(1 + this.random(4))
    else if (dice < 75) this.subscribe()
    else if (dice < 80) this.unsubscribe()
    else if (dice < 85) attempt.line.send(raw.pingreq())
    else if (dice < 90) this.disconnect()
    else if (dice < 93) this.drop()
    else if (dice < 96) this.fallSilent()
    else this.roam()
  }

  /** Comes back for what is waiting for it, if it has a session. */
  gather(): void {
    if (this.attempt === undefined && this.sessionUntilMs > this.nowMs()) this.connect(false)
  }

  /** Holds against the broker what should have come by now. */
  judge(): void {
    if (this.attempt?.isOnline !== true) return
    for (const payload of this.expectations.missing(this.received)) this.protest(`${payload} never came`)
  }

  /** Takes its session up and throws it away: the end of a run. */
  retire(): void {
    if (this.attempt !== undefined) this.leave(this.attempt).line.destroy()
    this.attempt = undefined
    this.connect(true, true)
  }

  private connect(isClean: boolean, isLast = false): void {
    const { clientId, expirySeconds, isPersistent, version } = this.habits
    const line = this.dial({
      onData: (chunk) => this.onData(attempt, chunk),
      onClose: () => this.onClose(attempt)
    })
    const attempt: Attempt = {
      line,
      reader: new ServerReader(version),
      isClean,
      startedMs: this.nowMs(),
      isOnline: false,
      isLeft: false
    }
    this.attempt = attempt
    this.isSilent = false
    this.ledger.connects++
    const keeps = version === 5 && isPersistent && !isLast
    const will = { topic: `soak/${this.habits.neighbourhood}/wills`, payload: "gone", qos: this.random(3) }
    const delayed = version === 5 && this.random(2) === 0 ? properties.willDelayInterval(1) : Buffer.alloc(0)
    line.send(
      raw.connect({
        version,
        clientId,
        clean: isClean,
        keepAlive: 60,
        ...(keeps && { properties: properties.sessionExpiryInterval(expirySeconds) }),
        ...(this.random(3) === 0 && !isLast && { will: { ...will, properties: delayed } })
      })
    )
    if (isLast) this.isRetiring = true
  }

  private disconnect(): void {
    const { attempt } = this
    if (attempt === undefined) return
    attempt.line.send(raw.disconnect())
    this.leave(attempt).line.end()
    this.attempt = undefined
  }

  private drop(): void {
    if (this.attempt === undefined) return
    this.ledger.drops++
    this.leave(this.attempt).line.destroy()
    this.attempt = undefined
  }

  /**
   * Hears nothing any more, says nothing, and the broker does not know: what is under way stays so until it
   * comes back.
   */
  private fallSilent(): void {
    const { attempt } = this
    if (attempt === undefined) return
    this.publish(3)
    this.ledger.silences++
    this.leave(attempt)
    if (this.sessionUntilMs > 0) this.sessionUntilMs = Number.POSITIVE_INFINITY
    this.isSilent = true
    this.attempt = undefined
  }

  /** Comes back over another network before the broker has noticed that the old connection is dead. */
  private roam(): void {
    const old = this.attempt
    if (old === undefined) return
    this.publish(3)
    this.ledger.takeovers++
    this.leave(old)
    this.connect(!this.habits.isPersistent)
  }

  private leave(attempt: Attempt): Attempt {
    attempt.isLeft = true
    const { expirySeconds, isPersistent, version } = this.habits
    if (!attempt.isOnline) return attempt
    this.sessionUntilMs = !isPersistent
      ? 0
      : version === 5
        ? this.nowMs() + expirySeconds * 1000
        : attempt.isClean
          ? 0
          : Number.POSITIVE_INFINITY
    return attempt
  }

  private publish(count: number): void {
    const { index, neighbourhood, version } = this.habits
    for (let n = 0; n < count; n++) {
      const qos = this.random(3)
      if (qos > 0 && this.outstanding.size >= OUTSTANDING_MAX) return
      const topic = `${this.random(5) === 0 ? "pool" : "soak"}/${neighbourhood}/${index}`
      const sequence = this.ledger.takeSequence(index)
      const payload = `${index}:${sequence}:${qos}`
      const packetId = qos > 0 ? this.freePacketId() : 0
      const packet = { version, topic, payload, qos, packetId, retain: this.random(50) === 0 }
      if (qos > 0) {
        const again = raw.publish({ ...packet, dup: true })
        this.outstanding.set(packetId, { topic, payload, sequence, qos, again, isReleased: false })
      }
      this.attempt?.line.send(raw.publish(packet))
    }
  }

  private freePacketId(): number {
    do this.packetId = (this.packetId % 1000) + 1
    while (this.outstanding.has(this.packetId))
    return this.packetId
  }

  private subscribe(): void {
    if (this.filters.length >= 5) return this.unsubscribe()
    const { neighbourhood, neighbours, version } = this.habits
    const neighbour = neighbourhood * neighbours + this.random(neighbours)
    const all = [
      `soak/${neighbourhood}/${neighbour}`,
      `soak/${neighbourhood}/+`,
      `soak/${neighbourhood}/#`,
      `+/${neighbourhood}/wills`,
      `$share/members/pool/${neighbourhood}/#`
    ]
    const filter = all[this.random(all.length)] ?? "soak"
    if (!this.filters.includes(filter)) this.filters.push(filter)
    this.subscribeId = (this.subscribeId + 1) % 5000
    const packetId = 60_000 + this.subscribeId
    const qos = this.random(3)
    this.expectations.subscribing(packetId, filter, qos, filter === all[0] ? neighbour : undefined)
    this.attempt?.line.send(raw.subscribe({ version, packetId, filters: [[filter, qos]] }))
  }

  private unsubscribe(): void {
    const filter = this.filters.pop()
    if (filter === undefined) return
    this.expectations.unsubscribing(filter)
    this.subscribeId = (this.subscribeId + 1) % 5000
    const { version } = this.habits
    const packetId = 60_000 + this.subscribeId
    this.attempt?.line.send(raw.unsubscribe({ version, packetId, filters: [filter] }))
  }

  private onClose(attempt: Attempt): void {
    if (attempt.isLeft) return
    this.ledger.violate(`${this.habits.clientId}: closed by the broker`)
    this.leave(attempt)
    if (this.attempt === attempt) this.attempt = undefined
  }

  private onData(attempt: Attempt, chunk: Uint8Array): void {
    if (attempt.isLeft) return
    try {
      for (const packet of attempt.reader.push(chunk)) {
        if (!attempt.isLeft) this.onPacket(attempt, packet)
      }
    } catch (error) {
      this.ledger.violate(`${this.habits.clientId}: unreadable bytes from the broker: ${error}`)
      this.leave(attempt).line.destroy()
      if (this.attempt === attempt) this.attempt = undefined
    }
  }

  private onPacket(attempt: Attempt, packet: Packet): void {
    const packetId = packet.messageId ?? 0
    switch (packet.cmd) {
      case "connack":
        return this.onConnack(attempt, packet)
      case "publish":
        return this.onPublish(attempt, packet, packetId)
      case "puback":
        return this.settle(packetId, 1, packet.reasonCode)
      case "pubrec":
        return this.onPubrec(attempt, packetId, packet.reasonCode)
      case "pubrel":
        this.incoming.delete(packetId)
        return attempt.line.send(raw.pubcomp({ packetId }))
      case "pubcomp":
        return this.settle(packetId, 2, packet.reasonCode)
      case "suback":
        if (packet.granted.some((code) => Number(code) >= 0x80)) this.protest(`SUBACK ${packet.granted}`)
        return this.expectations.subscribed(packetId)
      case "unsuback":
      case "pingresp":
        return
      default:
        this.protest(`${packet.cmd} ${"reasonCode" in packet ? packet.reasonCode : ""}`)
    }
  }

  private protest(what: string): void {
    this.ledger.violate(`${this.habits.clientId}: ${what}`)
  }

  private onConnack(attempt: Attempt, packet: Extract<Packet, { cmd: "connack" }>): void {
    const code = this.habits.version === 5 ? packet.reasonCode : packet.returnCode
    if (code !== 0) this.protest(`CONNACK ${code}`)
    attempt.isOnline = true
    this.judgePresence(attempt, packet.sessionPresent)
    this.expectations.reconnected(packet.sessionPresent)
    if (this.isRetiring) return this.disconnect()
    if (!packet.sessionPresent) {
      this.outstanding.clear()
      this.incoming.clear()
      this.filters.length = 0
      return
    }
    this.ledger.resumes++
    // [MQTT-4.4.0-1]: in the order in which they were sent first
    for (const [packetId, owed] of this.outstanding) {
      if (owed.isReleased) attempt.line.send(raw.pubrel({ packetId }))
      else {
        this.ledger.resend(owed.payload)
        attempt.line.send(owed.again)
      }
    }
  }

  private judgePresence(attempt: Attempt, isPresent: boolean): void {
    const { isClean, startedMs } = attempt
    if (isPresent && isClean) this.protest("a session is present after a clean start")
    if (isPresent && this.sessionUntilMs + EXPIRY_TOLERANCE_MS < startedMs)
      this.protest("a session came back that had ended")
    if (!isPresent && !isClean && this.nowMs() < this.sessionUntilMs - EXPIRY_TOLERANCE_MS)
      this.protest("a session was lost")
  }

  private onPublish(attempt: Attempt, packet: Extract<Packet, { cmd: "publish" }>, packetId: number): void {
    const { dup, qos, retain, topic } = packet
    const isNew = qos < 2 || !this.incoming.has(packetId)
    if (isNew) this.received.take({ topic, payload: packet.payload.toString(), qos, dup, retain })
    else if (!dup) this.protest(`identifier ${packetId} used again before PUBCOMP`)
    if (qos === 1) attempt.line.send(raw.puback({ packetId }))
    if (qos !== 2) return
    this.incoming.add(packetId)
    attempt.line.send(raw.pubrec({ packetId }))
  }

  private onPubrec(attempt: Attempt, packetId: number, reasonCode: number | undefined): void {
    const owed = this.outstanding.get(packetId)
    if (owed === undefined || owed.qos !== 2) return this.protest(`PUBREC for ${packetId}, which is not owed`)
    if ((reasonCode ?? 0) >= 0x80) return this.protest(`PUBREC ${reasonCode}`)
    owed.isReleased = true
    attempt.line.send(raw.pubrel({ packetId }))
  }

  private settle(packetId: number, qos: number, reasonCode: number | undefined): void {
    const owed = this.outstanding.get(packetId)
    if (owed?.qos !== qos) this.protest(`acknowledgement of ${packetId} at QoS ${qos}, which is not owed`)
    if ((reasonCode ?? 0) >= 0x80 && reasonCode !== 0x92) this.protest(`acknowledgement with ${reasonCode}`)
    this.outstanding.delete(packetId)
    if (owed?.topic.startsWith("soak/") === true) this.ledger.acknowledge(this.habits.index, owed)
  }
}
