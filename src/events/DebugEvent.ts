/**
 * What happens to single messages and packets: made only for tenants whose setting `debugEvents` is on,
 * because at a million messages a second nobody could take them.
 */

export type DebugEvent =
  /** A message was handed to those who want it, on this node and elsewhere; 0 when nobody does. */
  | { readonly _tag: "MessageRouted"; readonly topic: string; readonly qos: number; readonly targets: number }
  /** PUBACK or PUBREC has left for a message of the client. */
  | {
      readonly _tag: "MessageAcknowledged"
      readonly qos: number
      readonly packetId: number
      readonly reasonCode: number
    }
  /** A PUBLISH has been written for the client; `packetId` is 0 at QoS 0. */
  | {
      readonly _tag: "MessageSent"
      readonly topic: string
      readonly qos: number
      readonly packetId: number
      readonly isRepeated: boolean
    }
  /** The client has acknowledged what it was sent, with that packet. */
  | {
      readonly _tag: "DeliveryConfirmed"
      readonly qos: 1 | 2
      readonly packetId: number
      readonly by: "PUBACK" | "PUBREC" | "PUBCOMP"
      readonly reasonCode: number
    }
  /** A topic's retained message was set, or removed by an empty payload. */
  | { readonly _tag: "RetainedChanged"; readonly topic: string; readonly change: "set" | "removed" }
  /** A page of retained messages was found for a new subscription. */
  | { readonly _tag: "RetainedMatched"; readonly topicFilter: string; readonly messages: number }
  | { readonly _tag: "PingReceived" }
