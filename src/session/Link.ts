/**
 * The handle that a connection passes to its session: how a session speaks to the client of the moment.
 *
 * Everything is appended to the connection's output and leaves with one write at the end of the tick. After
 * `close` the link is dead: further calls do nothing.
 */

import type { Cause } from "../events/Cause.ts"
import type { AckTag, ProtocolVersion, ServerControlPacket } from "../protocol/Packet.ts"
import type { PublishHeader } from "../protocol/PublishWriter.ts"
import type { ReasonCode } from "../protocol/ReasonCode.ts"
import type { Publication } from "../router/Publication.ts"

/** Why a connection ends from our side. */
export interface Ending {
  /** 0x00 closes without a DISCONNECT, because the client has sent its own. */
  readonly reasonCode: ReasonCode
  /** For a person, and for a version 5 client's Reason String. */
  readonly reason: string
  /** Sent with 0x9C and 0x9D. */
  readonly serverReference?: string
  /** For the event, where the Reason Code does not say it. */
  readonly cause?: Cause
  /** The rule of the specification that the client broke. */
  readonly clause?: string
}

export interface Link {
  readonly protocolVersion: ProtocolVersion
  /** Bytes that the socket has not taken yet. */
  readonly backlogBytes: number
  /**
   * False when the packet is larger than the client's Maximum Packet Size: nothing was sent. [MQTT-3.1.2-24]
   */
  readonly sendPublish: (publication: Publication, header: PublishHeader) => boolean
  readonly sendAck: (tag: AckTag, packetId: number, reasonCode: number, reason: string) => void
  readonly send: (packet: ServerControlPacket) => void
  /** Flushes, says why (version 5), and closes. */
  readonly close: (ending: Ending) => void
}
