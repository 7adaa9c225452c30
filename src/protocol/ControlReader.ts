/**
 * Reads CONNECT, SUBSCRIBE, UNSUBSCRIBE, DISCONNECT and AUTH. For those with a list or a method
 * `ControlCheck.ts` proves that the bytes are sound, then `mqtt-packet` reads the fields, so that we agree
 * with the ecosystem on what a packet says. Properties are ours: `mqtt-packet` loses the order of user
 * properties. CONNECT and DISCONNECT, which every client sends, are read by the walk that checks them.
 *
 * One reader serves all decoders of a broker: reading is synchronous, so what it holds is only scratch, and a
 * decoder of its own stays small. Nothing of a client remains in it between packets.
 */

import type { Buffer } from "node:buffer"
import {
  type ISubscribePacket,
  type IUnsubscribePacket,
  type Packet as LibraryPacket,
  parser as makeParser,
  type Parser
} from "mqtt-packet"
import { readConnect } from "./ConnectReader.ts"
import { checkAuth, checkSubscribe, checkUnsubscribe, readDisconnect } from "./ControlCheck.ts"
import { Cursor } from "./Cursor.ts"
import { MalformedPacket } from "./MalformedPacket.ts"
import type {
  Auth,
  Connect,
  Disconnect,
  ProtocolVersion,
  Qos,
  Subscribe,
  SubscriptionRequest,
  Unsubscribe,
  UserProperties
} from "./Packet.ts"
import { PublishProperties, SectionState } from "./PropertyReader.ts"
import { ReasonCode } from "./ReasonCode.ts"

export interface ControlReaderOptions {
  /** User properties allowed in one packet; more is refused with 0x97. Default 1000. */
  readonly userPropertiesMax?: number
}

const noUserProperties: UserProperties = []

const disagreement = (reason: string): MalformedPacket =>
  new MalformedPacket(ReasonCode.MalformedPacket, "MQTT-4.13.1-1", reason)

const requestOf = (subscription: ISubscribePacket["subscriptions"][number]): SubscriptionRequest => ({
  topicFilter: subscription.topic,
  qos: subscription.qos as Qos,
  noLocal: subscription.nl ?? false,
  retainAsPublished: subscription.rap ?? false,
  retainHandling: (subscription.rh ?? 0) as 0 | 1 | 2
})

export class ControlReader {
  /**
   * Scratch of whoever reads a packet right now; PUBLISH and acknowledgements use it for their properties.
   */
  readonly cursor = new Cursor()
  readonly section: SectionState
  readonly publishProperties = new PublishProperties()

  private readonly parsers: Array<Parser | undefined> = []
  private parsed: LibraryPacket | undefined
  private parseError: unknown

  constructor(options: ControlReaderOptions = {}) {
    this.section = new SectionState(options.userPropertiesMax ?? 1000)
  }

  /** `frame` is the whole packet, fixed header included; its body starts at `body`. */
  connect(frame: Buffer, body: number): Connect {
    this.cursor.open(frame, body, frame.length, 0)
    const connect = readConnect(this.cursor, this.section)
    this.cursor.close()
    return connect
  }

  subscribe(frame: Buffer, body: number, version: ProtocolVersion): Subscribe {
    this.cursor.open(frame, body, frame.length, version)
    const properties = checkSubscribe(this.cursor, this.section)
    const packet = this.parse(this.parserOf(version), frame, "subscribe") as ISubscribePacket
    return {
      _tag: "Subscribe",
      packetId: packet.messageId ?? 0,
      subscriptions: packet.subscriptions.map(requestOf),
      subscriptionIdentifier: properties.subscriptionIdentifiers?.[0] ?? 0,
      userProperties: properties.userProperties ?? noUserProperties
    }
  }

  unsubscribe(frame: Buffer, body: number, version: ProtocolVersion): Unsubscribe {
    this.cursor.open(frame, body, frame.length, version)
    const properties = checkUnsubscribe(this.cursor, this.section)
    const packet = this.parse(this.parserOf(version), frame, "unsubscribe") as IUnsubscribePacket
    return {
      _tag: "Unsubscribe",
      packetId: packet.messageId ?? 0,
      topicFilters: packet.unsubscriptions,
      userProperties: properties.userProperties ?? noUserProperties
    }
  }

  disconnect(frame: Buffer, body: number, version: ProtocolVersion): Disconnect {
    this.cursor.open(frame, body, frame.length, version)
    const disconnect = readDisconnect(this.cursor, this.section)
    this.cursor.close()
    return disconnect
  }

  auth(frame: Buffer, body: number): Auth {
    this.cursor.open(frame, body, frame.length, 5)
    const properties = checkAuth(this.cursor, this.section)
    const packet = this.parse(this.parserOf(5), frame, "auth")
    return { _tag: "Auth", reasonCode: reasonCodeOf(packet), properties }
  }

  private parserOf(version: ProtocolVersion): Parser {
    return (this.parsers[version] ??= this.makeParser(version))
  }

  private makeParser(version: ProtocolVersion): Parser {
    const parser = makeParser({ protocolVersion: version })
    parser.on("packet", (packet) => {
      this.parsed = packet
    })
    parser.on("error", (error: unknown) => {
      this.parseError = error
    })
    return parser
  }

  private takeParsed(): LibraryPacket | undefined {
    const packet = this.parsed
    this.parsed = undefined
    return packet
  }

  /** What `mqtt-packet` makes of a frame that has passed our checks. */
  private parse(parser: Parser, frame: Buffer, command: LibraryPacket["cmd"]): LibraryPacket {
    this.cursor.close()
    this.parsed = undefined
    this.parseError = undefined
    try {
      parser.parse(frame)
    } catch (error) {
      this.parseError = error
    }
    const packet = this.takeParsed()
    if (packet?.cmd === command && this.parseError === undefined) return packet
    this.parsers.length = 0 // A parser that stopped half-way still holds bytes.
    throw disagreement(`${command} is not readable`)
  }
}

const reasonCodeOf = (packet: LibraryPacket): number =>
  "reasonCode" in packet ? (packet.reasonCode ?? 0) : 0
