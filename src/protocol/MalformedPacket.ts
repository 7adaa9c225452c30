/**
 * The one exception of the protocol layer: bytes that no conforming client sends. It ends the connection, so
 * it is thrown rather than returned; the connection catches it once, beside the decoder, and closes with
 * `reasonCode`.
 */

import type { ReasonCode } from "./ReasonCode.ts"

export class MalformedPacket extends Error {
  readonly _tag = "MalformedPacket"
  override readonly name = "MalformedPacket"

  constructor(
    /** 0x81 Malformed Packet, 0x82 Protocol Error or the more specific code of the rule that was broken. */
    readonly reasonCode: ReasonCode,
    /**
     * The clause that was broken, as in the specification: `MQTT-1.5.4-2`, or a section (`3.3.2.3.4`) where
     * it has no number.
     */
    readonly clause: string,
    /** What was found, for a person: short, without content of the packet that could be secret. */
    readonly reason: string
  ) {
    super(`${reason} [${clause}]`)
  }
}
