/** Topics, subscriptions and retained messages. */

import { boolean, integer, oneOf, size } from "../../values/Key.ts"
import { countMax, setting, sizeMax } from "./Setting.ts"

export const topicSettings = {
  topicLevelsMax: setting(integer(1, 65_535), {
    default: 128,
    meaning: "Levels of a topic name or filter",
    unit: "levels",
    applies: "live",
    bifromq: ["MaxTopicLevels"]
  }),
  topicLevelBytesMax: setting(integer(1, 65_535), {
    default: 65_535,
    meaning: "UTF-8 bytes of one level of a topic name or filter",
    unit: "bytes",
    applies: "live",
    bifromq: ["MaxTopicLevelLength"]
  }),
  topicBytesMax: setting(integer(1, 65_535), {
    default: 65_535,
    meaning: "UTF-8 bytes of a topic name or filter",
    unit: "bytes",
    applies: "live",
    bifromq: ["MaxTopicLength"]
  }),
  subscriptionsMax: setting(integer(1, countMax), {
    default: 10_000,
    meaning: "Subscriptions of one session",
    unit: "subscriptions",
    applies: "live",
    bifromq: ["MaxTopicFiltersPerInbox"]
  }),
  topicFiltersPerPacketMax: setting(integer(1, countMax), {
    default: 10_000,
    meaning: "Filters of one SUBSCRIBE",
    unit: "filters",
    applies: "live",
    bifromq: ["MaxTopicFiltersPerSub"]
  }),
  sharedSubscriptionStrategy: setting(
    oneOf("round-robin", "random", "sticky", "least-inflight", "hash-topic", "hash-client"),
    {
      default: "round-robin",
      meaning: "How a message finds its receiver in a shared subscription",
      applies: "live"
    }
  ),
  sharedGroupMembersMax: setting(integer(1, countMax), {
    default: 10_000,
    meaning: "Members of one shared subscription",
    unit: "sessions",
    applies: "live",
    bifromq: ["MaxSharedGroupMembers"]
  }),
  sharedGroupFanoutMax: setting(integer(1, countMax), {
    default: 10_000,
    meaning: "Shared subscriptions that one message is given to",
    unit: "groups",
    applies: "live",
    bifromq: ["MaxGroupFanout"]
  }),
  persistentFanoutMax: setting(integer(0, countMax), {
    default: 0,
    meaning: "Sessions that keep one message; 0 does not limit",
    unit: "sessions",
    applies: "live",
    bifromq: ["MaxPersistentFanout"]
  }),
  persistentFanoutBytesMax: setting(size(0, sizeMax), {
    default: 0,
    meaning: "Payload that they keep of it together; 0 does not limit",
    unit: "bytes",
    applies: "live",
    bifromq: ["MaxPersistentFanoutBytes"]
  }),
  retainedMessagesMax: setting(integer(0, countMax), {
    default: 1_000_000,
    meaning: "Retained messages of a tenant",
    unit: "messages",
    applies: "live",
    bifromq: ["TotalRetainTopics"]
  }),
  retainedBytesMax: setting(size(0, sizeMax), {
    default: 1024 * 1024 * 1024,
    meaning: "Payload of a tenant's retained messages",
    unit: "bytes",
    applies: "live",
    bifromq: ["TotalRetainMessageSpaceBytes"]
  }),
  retainedMatchMax: setting(integer(0, countMax), {
    default: 0,
    meaning: "Retained messages that one filter brings; 0 does not limit",
    unit: "messages",
    applies: "live",
    bifromq: ["RetainMessageMatchLimit"]
  }),
  retainedPublisherCheck: setting(boolean, {
    default: true,
    meaning: "Withhold a retained message once its publisher may not publish to its topic any more",
    applies: "live"
  })
} as const
