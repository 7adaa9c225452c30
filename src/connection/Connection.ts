/**
 * One client's connection: bytes between a wire and, first, its handshake, then its session.
 *
 * It owns the decoder and the output of the client. Output is collected in a sink and written once at the end
 * of the tick (earlier when it grows large), so a thousand small packets cost one system call; what the
 * socket does not take stays and is counted as backlog. Input that nobody has read yet is bounded: beyond
 * that the wire is paused.
 *
 * The connection's fiber (`serve.ts`) starts with CONNECT and holds its lifetime from there. It is woken by
 * answers of the handshake only; afterwards the session pulls packets itself and no fiber is involved until
 * the end. Until CONNECT has come there is nothing but a deadline: who says nothing costs next to nothing.
 */

import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { Deadline } from "../actor/DeadlineWheel.ts"
import type { Flushable } from "../actor/Dispatcher.ts"
import { writeAck, writeExplainedAck } from "../protocol/AckWriter.ts"
import { ByteSink } from "../protocol/ByteSink.ts"
import { encodeControl } from "../protocol/ControlWriter.ts"
import type { Decoder } from "../protocol/Decoder.ts"
import { MalformedPacket } from "../protocol/MalformedPacket.ts"
import type {
  AckTag,
  ClientPacket,
  Connect,
  Properties,
  ProtocolVersion,
  ServerControlPacket
} from "../protocol/Packet.ts"
import {
  addressFrame,
  type Frame,
  type PublishHeader,
  publishByte,
  publishBytes,
  writeFrame,
  writePublish
} from "../protocol/PublishWriter.ts"
import { ReasonCode } from "../protocol/ReasonCode.ts"
import type { Publication } from "../router/Publication.ts"
import type { Ending } from "../session/Link.ts"
import type { Session } from "../session/Session.ts"
import type { ClientLink } from "../session/SessionMessage.ts"
import type { Tap } from "../telemetry/follow/Tap.ts"
import type { LiveSpan } from "../telemetry/tracing/Tracing.ts"
import type { Wire, WireHandler } from "../transport/Transport.ts"
import type { ConnectionContext } from "./ConnectionContext.ts"
import { answerTooLarge, connectCodeOf, propertiesOf } from "./endings.ts"
import { handshakeAnswered, handshakeLost } from "./tracing.ts"

/** Output that is written before the end of the tick. */
const FLUSH_AT = 64 * 1024
/** Frames that are not worth copying into the output. */
const DIRECT_AT = 16 * 1024
/** Unread input at which the wire is paused. */
const UNREAD_MAX = 256 * 1024
/** How long a closed connection may take to accept its last bytes. */
const LINGER_MS = 5000
const PACKET_BYTES_UNLIMITED = 268_435_460

/** The peer went away, or we closed, before the handshake was over. */
export interface ConnectionGone {
  readonly _tag: "ConnectionGone"
}

type PacketWaiter = (effect: Effect.Effect<ClientPacket, ConnectionGone | MalformedPacket>) => void

export class Connection extends Deadline implements WireHandler, ClientLink, Flushable {
  /** 4 until CONNECT says otherwise. */
  protocolVersion: ProtocolVersion = 4
  /** As CONNECT gave it; undefined before. */
  clientId: string | undefined = undefined
  /** Known when the client has proved who it is. */
  tenant: string | undefined = undefined
  /** When CONNECT came, as long as it is not known whether its handshake is traced; nanoseconds. */
  begunNs: bigint | undefined = undefined
  /** The span of the handshake, until CONNACK. */
  traced: LiveSpan | undefined = undefined
  /** Told of every packet while somebody follows the client. */
  tap: Tap | undefined = undefined
  private readonly decoder: Decoder
  private readonly sink: ByteSink
  private session: Session | undefined
  /** What we take of the client once it is admitted; until then the decoder has a smaller limit. */
  private clientPacketBytesMax = 0
  /** The client's Maximum Packet Size. */
  private packetBytesMax = PACKET_BYTES_UNLIMITED
  private requestProblemInformation = true
  /** Started by CONNECT. */
  private life: Fiber.RuntimeFiber<void> | undefined
  private packetWaiter: PacketWaiter | undefined
  private goneWaiter: ((effect: Effect.Effect<void>) => void) | undefined
  /** CONNECT has been read, or what came instead of it. */
  private hasBegun = false
  /** CONNACK 0 has been sent: from now on DISCONNECT says why we close. */
  private isAccepted = false
  private isFlushing = false
  private isStalled = false
  private isPaused = false
  private isReadable = false
  /** We have said our last word; input is ignored. */
  private isClosing = false
  private isGone = false
  /** Why it is us who close. */
  private ending: Ending | undefined

  constructor(
    readonly wire: Wire,
    private readonly context: ConnectionContext
  ) {
    super()
    this.decoder = context.decoder()
    this.sink = new ByteSink(context.pages)
  }

  // As the wire sees it

  onData(chunk: Uint8Array): void {
    if (this.isClosing || this.isGone) return
    this.decoder.push(chunk)
    if (this.session === undefined) return this.hasBegun ? this.offerPacket() : this.begin()
    if (this.decoder.bufferedBytes > UNREAD_MAX && !this.isPaused) {
      this.isPaused = true
      this.wire.pause()
    }
    this.wakeSession()
  }

  onDrain(): void {
    if (this.isGone) return
    this.isStalled = false
    this.flush()
    this.session?.signal({ _tag: "Drained", link: this })
  }

  onClose(_reason: string): void {
    if (this.isGone) return
    this.isGone = true
    if (this.traced !== undefined) handshakeLost(this, this.traced)
    this.context.deadlines.cancel(this)
    this.sink.release()
    this.leaveSession()
    this.packetWaiter = undefined
    const { goneWaiter, life } = this
    this.goneWaiter = undefined
    this.context.gone(this)
    // A fiber that waits for this just completes: to interrupt it costs a sixth of a short visit. One that is
    // in the middle of the handshake leaves no authenticator working for a client that is not there.
    if (goneWaiter !== undefined) return goneWaiter(Effect.void)
    if (life === undefined) return
    life.unsafeInterruptAsFork(life.id())
    if (!this.isClosing) this.context.aborted(this)
  }

  // As its fiber sees it

  /** The fiber that serves the connection; undefined before CONNECT. */
  get fiber(): Fiber.RuntimeFiber<void> | undefined {
    return this.life
  }

  /** The next packet of the handshake after CONNECT. */
  takePacket(): Effect.Effect<ClientPacket, ConnectionGone | MalformedPacket> {
    return Effect.async((resume: PacketWaiter) => {
      this.packetWaiter = resume
      this.offerPacket()
    })
  }

  /** Completes when the wire has closed. The callback takes no signal: that would cost an AbortController. */
  untilGone(): Effect.Effect<void> {
    return Effect.async<void>((resume) => {
      if (this.isGone) resume(Effect.void)
      else this.goneWaiter = resume
    })
  }

  /** The protocol level that CONNECT asked for, also when it was refused; 0 when it named none. */
  get attemptedLevel(): number {
    return this.decoder.attemptedLevel
  }

  /** CONNECT was read: from now on the client's version and wishes hold. */
  introduced(connect: Connect): void {
    this.protocolVersion = connect.protocolVersion
    this.clientId = connect.clientId
    this.packetBytesMax = connect.properties.maximumPacketSize ?? PACKET_BYTES_UNLIMITED
    this.requestProblemInformation = connect.properties.requestProblemInformation !== false
  }

  /** It is about to be admitted: from then on its packets may be that large. */
  allow(clientPacketBytesMax: number): void {
    this.clientPacketBytesMax = clientPacketBytesMax
  }

  /** Says no to CONNECT, as far as the version lets us, and closes. [MQTT-3.2.2-7] [v3 MQTT-3.2.2-5] */
  refuse(reasonCode: ReasonCode, properties: Properties): void {
    this.send({ _tag: "Connack", sessionPresent: false, reasonCode, properties })
    this.end()
  }

  /** Closes without a word. */
  drop(): void {
    this.end()
  }

  // As its session sees it

  get backlogBytes(): number {
    return this.isStalled ? this.sink.length : 0
  }

  attached(session: Session): void {
    this.context.deadlines.cancel(this)
    this.wire.settled?.()
    this.decoder.packetBytesMax = this.clientPacketBytesMax
    if (this.isGone || this.isClosing) {
      this.tellLost(session)
      return
    }
    this.session = session
    this.wakeSession()
  }

  nextPacket(): ClientPacket | undefined {
    this.isReadable = false
    if (this.isClosing) return undefined
    return this.tap === undefined ? this.decoder.next() : this.nextTapped()
  }

  follow(tap: Tap): void {
    this.tap ??= tap
  }

  resumeReading(): void {
    if (!this.isPaused || this.isGone) return
    this.isPaused = false
    this.wire.resume()
  }

  sendPublish(publication: Publication, header: PublishHeader): boolean {
    if (this.isClosing || this.isGone) return true
    const version = this.protocolVersion
    if (
      this.packetBytesMax !== PACKET_BYTES_UNLIMITED &&
      publishBytes(version, publication, header) > this.packetBytesMax
    ) {
      return false
    }
    if (this.tap !== undefined) {
      const bytes = publishBytes(version, publication, header)
      this.liveTap?.sentPublish(publication, header, bytes, this.context.nowMs())
    }
    // A retained message may stay for years: it is not to carry its frames with it.
    if (publication.targets > 1 && !publication.retain && isPlain(header)) {
      const frame = publication.frame(version === 5, header.qos > 0)
      const firstByte = publishByte(header.qos, header.retain, header.dup)
      if (frame.bytes.length >= DIRECT_AT) return this.writeDirect(frame, firstByte, header.packetId)
      writeFrame(this.sink, frame, firstByte, header.packetId)
    } else {
      writePublish(this.sink, version, publication, header)
    }
    this.written()
    return true
  }

  sendAck(tag: AckTag, packetId: number, reasonCode: number, reason: string): void {
    if (this.isClosing || this.isGone) return
    const before = this.sink.length
    if (reason !== "" && this.protocolVersion === 5 && this.requestProblemInformation) {
      const { packetBytesMax } = this
      writeExplainedAck(this.sink, { tag, packetId, reasonCode, reasonString: reason, packetBytesMax })
    } else {
      writeAck(this.sink, this.protocolVersion, tag, packetId, reasonCode)
    }
    if (this.tap !== undefined) {
      const ack = { packetId, reasonCode, reasonString: reason || undefined }
      this.liveTap?.sentAck(tag, ack, this.sink.length - before, this.context.nowMs())
    }
    this.written()
  }

  send(packet: ServerControlPacket): void {
    if (this.isClosing || this.isGone) return
    const { packetBytesMax, requestProblemInformation } = this
    const bytes = encodeControl(packet, this.protocolVersion, { packetBytesMax, requestProblemInformation })
    if (bytes === undefined) {
      // A client that cannot be told what it must know is closed; below version 5 DISCONNECT is just not
      // said.
      if (packet._tag === "Disconnect") return
      this.ending = answerTooLarge
      return packet._tag === "Connack" || this.protocolVersion !== 5 ? this.end() : this.close(answerTooLarge)
    }
    if (packet._tag === "Connack") {
      if (packet.reasonCode === ReasonCode.Success) this.isAccepted = true
      if (this.traced !== undefined) handshakeAnswered(this, this.traced, packet)
    }
    this.sink.write(bytes)
    if (this.tap !== undefined) this.liveTap?.sent(packet, bytes.length, this.context.nowMs())
    this.written()
  }

  close(ending: Ending): void {
    if (this.isClosing || this.isGone) return
    this.ending = ending
    if (!this.isAccepted) {
      // [MQTT-3.14.0-1]: before CONNACK it is CONNACK that says why, if there was a CONNECT to answer
      if (this.clientId !== undefined) return this.refuse(connectCodeOf(ending), propertiesOf(ending))
    } else if (ending.reasonCode !== ReasonCode.Success) {
      // [MQTT-3.14.4-1] [MQTT-3.14.4-2]; before version 5 the server just closes
      this.send({ _tag: "Disconnect", reasonCode: ending.reasonCode, properties: propertiesOf(ending) })
    }
    this.end()
  }

  // As the dispatcher sees it

  flush(): void {
    this.isFlushing = false
    const { sink } = this
    if (sink.length === 0 || this.isGone) return
    if (!this.isStalled) {
      const written = this.wire.write(sink.bytes, 0, sink.length)
      if (written < 0) return sink.release()
      this.isStalled = written < sink.length
      sink.consume(written)
      this.context.dispatcher.wrote(written)
    }
    if (this.isClosing && !this.isStalled) this.wire.end()
  }

  // As the wheel sees it: the handshake, or the last bytes, have taken too long

  onDeadline(): void {
    if (this.isGone) return
    this.wire.destroy()
    if (this.isClosing) return
    this.isClosing = true
    this.context.timedOut(this)
  }

  /**
   * A large frame goes from where all its receivers share it to the socket, without a copy of ours: 64 KB to
   * 100 subscribers cost 0.88 of the processor time of copying (medians of three runs side by side, Bun
   * 1.4.5, 2026-11).
   */
  private writeDirect(frame: Frame, firstByte: number, packetId: number): true {
    this.flush()
    if (this.isStalled || this.isGone) {
      writeFrame(this.sink, frame, firstByte, packetId)
      return true
    }
    const { bytes } = frame
    addressFrame(frame, firstByte, packetId)
    const written = this.wire.write(bytes, 0, bytes.length)
    this.context.dispatcher.wrote(written)
    if (written >= 0 && written < bytes.length) {
      this.isStalled = true
      this.sink.write(bytes.subarray(written))
    }
    return true
  }

  private written(): void {
    if (this.sink.length >= FLUSH_AT && !this.isStalled) {
      this.flush()
    } else if (!this.isFlushing) {
      this.isFlushing = true
      this.context.dispatcher.flushLater(this)
    }
  }

  private end(): void {
    if (this.isClosing) return
    this.isClosing = true
    if (this.traced !== undefined) handshakeLost(this, this.traced)
    this.leaveSession()
    this.context.deadlines.schedule(this, this.context.nowMs() + LINGER_MS)
    if (this.sink.length === 0) this.wire.end()
    else this.flush()
  }

  /** The session need not wait until the socket has closed: nothing more will pass either way. */
  private leaveSession(): void {
    const { session } = this
    this.session = undefined
    if (session !== undefined) this.tellLost(session)
  }

  private tellLost(session: Session): void {
    const isShutdown = this.context.isDraining()
    const { ending, isClosing } = this
    session.signal({ _tag: "Lost", link: this, isByPeer: !isClosing, isShutdown, ending })
  }

  private wakeSession(): void {
    if (this.isReadable || this.session === undefined) return
    this.isReadable = true
    this.session.signal({ _tag: "Readable", link: this })
  }

  /** The first packet: CONNECT starts the fiber; nothing else does. [MQTT-3.1.0-1] */
  private begin(): void {
    const { context, decoder } = this
    const before = decoder.bufferedBytes
    try {
      const packet = decoder.next()
      if (packet === undefined) return
      this.hasBegun = true
      if (packet._tag !== "Connect") return this.end()
      if (context.followers.isAny) {
        this.tap = context.followers.tap(packet.clientId, undefined)
        this.tap?.received(packet, before - decoder.bufferedBytes, context.nowMs())
      }
      this.life = context.serve(this, packet)
    } catch (error) {
      if (!(error instanceof MalformedPacket)) throw error
      this.hasBegun = true
      this.context.refuse(this, error)
    }
  }

  /** The tap, unless nobody follows the client any more. */
  private get liveTap(): Tap | undefined {
    if (this.tap?.isOver === true) this.tap = undefined
    return this.tap
  }

  private nextTapped(): ClientPacket | undefined {
    const { decoder } = this
    const before = decoder.bufferedBytes
    const packet = decoder.next()
    if (packet !== undefined) {
      this.liveTap?.received(packet, before - decoder.bufferedBytes, this.context.nowMs())
    }
    return packet
  }

  /** Hands the next packet of the handshake to the fiber, if both are there. */
  private offerPacket(): void {
    const waiter = this.packetWaiter
    if (waiter === undefined) {
      if (this.decoder.bufferedBytes > UNREAD_MAX && !this.isPaused) {
        this.isPaused = true
        this.wire.pause()
      }
      return
    }
    if (this.isGone) {
      this.packetWaiter = undefined
      return waiter(Effect.fail(gone))
    }
    try {
      const packet = this.nextTapped()
      if (packet === undefined) return this.resumeReading()
      this.packetWaiter = undefined
      waiter(Effect.succeed(packet))
    } catch (error) {
      if (!(error instanceof MalformedPacket)) throw error
      this.packetWaiter = undefined
      waiter(Effect.fail(error))
    }
  }
}

const gone: ConnectionGone = { _tag: "ConnectionGone" }

/**
 * Nothing in the header that differs from receiver to receiver but the identifier and the first byte's bits.
 */
const isPlain = (header: PublishHeader): boolean =>
  header.topicAlias === 0 && header.messageExpiryInterval < 0 && header.subscriptionIdentifiers.length === 0
