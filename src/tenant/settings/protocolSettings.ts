/** Which MQTT a tenant's clients speak, and what CONNACK grants them. */

import { boolean, integer, oneOfNumbers, seconds, size } from "../../values/Key.ts"
import { setting } from "./Setting.ts"

/** The largest Remaining Length that MQTT can express. (5.0, section 1.5.5) */
const packetBytesLimit = 268_435_455

export const protocolSettings = {
  mqtt31: setting(boolean, {
    default: true,
    meaning: "Accept MQTT 3.1 clients",
    applies: "next connect",
    bifromq: ["MQTT3Enabled"]
  }),
  mqtt311: setting(boolean, {
    default: true,
    meaning: "Accept MQTT 3.1.1 clients",
    applies: "next connect",
    bifromq: ["MQTT4Enabled"]
  }),
  mqtt5: setting(boolean, {
    default: true,
    meaning: "Accept MQTT 5.0 clients",
    applies: "next connect",
    bifromq: ["MQTT5Enabled"]
  }),
  keepAliveMin: setting(seconds(65_535), {
    default: 0,
    meaning: "Shortest keep-alive granted to MQTT 5 clients, by Server Keep Alive",
    unit: "seconds",
    applies: "next connect",
    bifromq: ["MinKeepAliveSeconds"]
  }),
  keepAliveMax: setting(seconds(65_535), {
    default: 65_535,
    meaning: "Longest keep-alive granted to them; below 65535 also to those that ask for none",
    unit: "seconds",
    applies: "next connect"
  }),
  maximumQos: setting(oneOfNumbers(0, 1, 2), {
    default: 2,
    meaning: "Highest QoS granted",
    applies: "next connect",
    bifromq: ["MaximumQoS"]
  }),
  retainAvailable: setting(boolean, {
    default: true,
    meaning: "Accept retained messages",
    applies: "next connect",
    bifromq: ["RetainEnabled"]
  }),
  wildcardSubscriptionAvailable: setting(boolean, {
    default: true,
    meaning: "Accept `+` and `#`",
    applies: "next connect",
    bifromq: ["WildcardSubscriptionEnabled"]
  }),
  subscriptionIdentifiersAvailable: setting(boolean, {
    default: true,
    meaning: "Accept Subscription Identifiers",
    applies: "next connect",
    bifromq: ["SubscriptionIdentifierEnabled"]
  }),
  sharedSubscriptionAvailable: setting(boolean, {
    default: true,
    meaning: "Accept shared subscriptions",
    applies: "next connect",
    bifromq: ["SharedSubscriptionEnabled"]
  }),
  receiveMaximum: setting(integer(1, 65_535), {
    default: 1000,
    meaning: "QoS 1 and 2 messages that a client may have unacknowledged at the broker",
    unit: "messages",
    applies: "next connect",
    bifromq: ["ReceivingMaximum"]
  }),
  topicAliasMaximum: setting(integer(0, 65_535), {
    default: 16,
    meaning: "Topic aliases that a client may set",
    unit: "aliases",
    applies: "next connect",
    bifromq: ["MaxTopicAlias"]
  }),
  topicAliasMaximumOutbound: setting(integer(0, 65_535), {
    default: 16,
    meaning: "Topic aliases that the broker sets for a client that allows them",
    unit: "aliases",
    applies: "next connect",
    bifromq: ["MaxTopicAlias"]
  }),
  packetBytesMax: setting(size(1024, packetBytesLimit), {
    default: packetBytesLimit,
    meaning: "Largest packet of a client, where that is less than `limits.packetBytesMax`",
    unit: "bytes",
    applies: "next connect",
    bifromq: ["MaxUserPayloadBytes"]
  })
} as const
