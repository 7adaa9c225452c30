/** Why we close a connection, as the packet says it that closes it. */

import type { Properties } from "../protocol/Packet.ts"
import { ReasonCode } from "../protocol/ReasonCode.ts"
import type { Ending } from "../session/Link.ts"

export const answerTooLarge: Ending = {
  reasonCode: ReasonCode.PacketTooLarge,
  reason: "an answer is larger than the client's Maximum Packet Size"
}

/** [MQTT-3.2.2-8]: CONNACK has no code for a shutdown. */
export const connectCodeOf = ({ reasonCode }: Ending): ReasonCode =>
  reasonCode === ReasonCode.ServerShuttingDown ? ReasonCode.ServerUnavailable : reasonCode

export const propertiesOf = (ending: Ending): Properties =>
  ending.serverReference === undefined
    ? { reasonString: ending.reason }
    : { reasonString: ending.reason, serverReference: ending.serverReference }
