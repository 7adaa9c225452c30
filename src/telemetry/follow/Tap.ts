/** What a connection of a client that is followed tells of its packets. */

import type { AckTag, ClientPacket, PublishContent, ServerControlPacket } from "../../protocol/Packet.ts"
import type { PublishHeader } from "../../protocol/PublishWriter.ts"
import type { Followers } from "./Followers.ts"
import { type PacketFields, receivedFields, sentFields, sentPublishFields } from "./packetFields.ts"

interface Seen {
  readonly direction: "in" | "out"
  readonly packet: string
  readonly bytes: number
  /** `payloadBytes`: how much may be shown of a payload. */
  readonly fields: (payloadBytes: number) => PacketFields
}

export class Tap {
  private number = 0

  constructor(
    private readonly followers: Pick<Followers, "of" | "nextNumber">,
    private clientId: string,
    private tenant: string | undefined
  ) {}

  /** Its number among the connections that were shown. */
  private get connection(): number {
    if (this.number === 0) this.number = this.followers.nextNumber()
    return this.number
  }

  /** Nobody follows the client any more. */
  get isOver(): boolean {
    for (const _ of this.followers.of(this.clientId, this.tenant)) return false
    return true
  }

  /** It is known who it is. Those who follow a client of that name in another tenant are told so. */
  identified(clientId: string, tenant: string, nowMs: number): void {
    if (this.tenant === undefined) {
      for (const follower of this.followers.of(this.clientId, undefined)) {
        if (follower.options.tenant === tenant) continue
        follower.note(`#${this.connection} is of tenant ${tenant}, where it is not followed`, nowMs)
      }
    }
    this.clientId = clientId
    this.tenant = tenant
  }

  received(packet: ClientPacket, bytes: number, nowMs: number): void {
    const fields = (payloadBytes: number) => receivedFields(packet, payloadBytes)
    this.show({ direction: "in", packet: packet._tag.toUpperCase(), bytes, fields }, nowMs)
  }

  sentPublish(content: PublishContent, header: PublishHeader, bytes: number, nowMs: number): void {
    const fields = (payloadBytes: number) => sentPublishFields(content, header, payloadBytes)
    this.show({ direction: "out", packet: "PUBLISH", bytes, fields }, nowMs)
  }

  sentAck(tag: AckTag, fields: PacketFields, bytes: number, nowMs: number): void {
    this.show({ direction: "out", packet: tag.toUpperCase(), bytes, fields: () => fields }, nowMs)
  }

  sent(packet: ServerControlPacket, bytes: number, nowMs: number): void {
    const fields = () => sentFields(packet)
    this.show({ direction: "out", packet: packet._tag.toUpperCase(), bytes, fields }, nowMs)
  }

  private show({ bytes, direction, fields, packet }: Seen, nowMs: number): void {
    for (const follower of this.followers.of(this.clientId, this.tenant)) {
      if (!follower.admits(nowMs)) continue
      const at = new Date(nowMs).toISOString()
      const { connection } = this
      const { payloadBytes } = follower.options
      follower.add(
        { kind: "packet", at, connection, direction, packet, bytes, ...fields(payloadBytes) },
        nowMs
      )
    }
  }
}
