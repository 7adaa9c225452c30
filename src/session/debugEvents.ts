/** The events of single messages, for tenants that ask for them. */

import type { DebugEvent } from "../events/DebugEvent.ts"
import type { Ack } from "../protocol/Packet.ts"
import type { PublishHeader } from "../protocol/PublishWriter.ts"
import type { Publication } from "../router/Publication.ts"
import type { OutboundEntry } from "./OutboundEntry.ts"

export const sentEvent = ({ topic }: Publication, { dup, packetId, qos }: PublishHeader): DebugEvent => ({
  _tag: "MessageSent",
  topic: topic.name,
  qos,
  packetId,
  isRepeated: dup
})

const packetNames = { Puback: "PUBACK", Pubrec: "PUBREC", Pubcomp: "PUBCOMP" } as const

export const confirmedEvent = (
  { _tag, packetId, reasonCode }: Ack<"Puback"> | Ack<"Pubrec"> | Ack<"Pubcomp">,
  { qos }: OutboundEntry
): DebugEvent => ({ _tag: "DeliveryConfirmed", qos, packetId, by: packetNames[_tag], reasonCode })
