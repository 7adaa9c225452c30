/**
 * A message as a policy sees it. Properties are decoded when the policy first asks for one: a policy that
 * goes by the topic costs no more than that.
 */

import type { Properties, Qos, UserProperties } from "../../protocol/Packet.ts"
import { decodeForwardedProperties } from "../../protocol/PropertyReader.ts"
import type { MessageChange, MessageContent } from "./MessageChange.ts"

export interface PolicyMessage {
  readonly topic: string
  /** A view: valid until the hook has answered. Copy what is to be kept; never write to it. */
  readonly payload: Uint8Array
  readonly qos: Qos
  /** As the publisher set it. */
  readonly retain: boolean
  /** The client identifier of the publisher; "" for the broker's own messages. */
  readonly publisherId: string
  /** It is the will of its publisher, at CONNECT or when it is due. */
  readonly isWill: boolean
  /** Seconds; undefined when it does not expire. */
  readonly messageExpiryInterval: number | undefined
  /** MQTT 5 properties: undefined, or empty, for messages of earlier versions. */
  readonly userProperties: UserProperties
  readonly contentType: string | undefined
  readonly responseTopic: string | undefined
  readonly correlationData: Uint8Array | undefined
  readonly payloadFormatIndicator: 0 | 1 | undefined
}

const noUserProperties: UserProperties = Object.freeze([])

/** Of a PUBLISH. Made for each message that a policy is asked about: two fields, and one for later. */
export class MessageView implements PolicyMessage {
  private decoded: Properties | undefined

  constructor(
    private readonly content: Omit<MessageContent, "messageExpiryInterval">,
    readonly publisherId: string,
    /** Seconds; -1 when there is none. */
    private readonly expiryInterval: number
  ) {}

  get topic(): string {
    return this.content.topic.name
  }

  get payload(): Uint8Array {
    const { payloadEnd, payloadStart, source } = this.content
    return source.subarray(payloadStart, payloadEnd)
  }

  get qos(): Qos {
    return this.content.qos
  }

  get retain(): boolean {
    return this.content.retain
  }

  get isWill(): boolean {
    return false
  }

  get messageExpiryInterval(): number | undefined {
    return this.expiryInterval < 0 ? undefined : this.expiryInterval
  }

  get userProperties(): UserProperties {
    return this.properties.userProperties ?? noUserProperties
  }

  get contentType(): string | undefined {
    return this.properties.contentType
  }

  get responseTopic(): string | undefined {
    return this.properties.responseTopic
  }

  get correlationData(): Uint8Array | undefined {
    return this.properties.correlationData
  }

  get payloadFormatIndicator(): 0 | 1 | undefined {
    return this.properties.payloadFormatIndicator
  }

  private get properties(): Properties {
    return (this.decoded ??= decodeForwardedProperties(this.content.forwardedProperties))
  }
}

/** Of a will. */
export class WillView extends MessageView {
  override get isWill(): boolean {
    return true
  }
}

/** The same message after a change, for the next policy to look at. */
export const changedView = (message: PolicyMessage, change: MessageChange): PolicyMessage => {
  const given = <Name extends keyof PolicyMessage & keyof MessageChange>(name: Name) =>
    name in change ? (change[name] as PolicyMessage[Name]) : message[name]
  const { payload } = change
  return {
    topic: change.topic ?? message.topic,
    payload: typeof payload === "string" ? Buffer.from(payload, "utf8") : (payload ?? message.payload),
    qos: change.qos ?? message.qos,
    retain: change.retain ?? message.retain,
    publisherId: message.publisherId,
    isWill: message.isWill,
    messageExpiryInterval: given("messageExpiryInterval"),
    userProperties: given("userProperties") ?? noUserProperties,
    contentType: given("contentType"),
    responseTopic: given("responseTopic"),
    correlationData: given("correlationData"),
    payloadFormatIndicator: given("payloadFormatIndicator")
  }
}
