/** Everything that a tenant of Apache BifroMQ 4 can be given is in our table, or deliberately not. */

import { describe, expect, test } from "bun:test"
import {
  defaultTenantSettings,
  NEVER_EXPIRES,
  settingGroups,
  settingNames,
  settingsTable
} from "../../../src/tenant/TenantSettings.ts"

/** Its enum `Setting`. */
const theirSettings = [
  "MQTT3Enabled",
  "MQTT4Enabled",
  "MQTT5Enabled",
  "NoLWTWhenServerShuttingDown",
  "DebugModeEnabled",
  "ForceTransient",
  "ByPassPermCheckError",
  "PayloadFormatValidationEnabled",
  "RetainEnabled",
  "WildcardSubscriptionEnabled",
  "SubscriptionIdentifierEnabled",
  "SharedSubscriptionEnabled",
  "MaximumQoS",
  "MaxTopicLevelLength",
  "MaxTopicLevels",
  "MaxTopicLength",
  "MaxTopicAlias",
  "MaxSharedGroupMembers",
  "MaxTopicFiltersPerInbox",
  "MsgPubPerSec",
  "ReceivingMaximum",
  "InBoundBandWidth",
  "OutBoundBandWidth",
  "MaxLastWillBytes",
  "MaxUserPayloadBytes",
  "MinSendPerSec",
  "MaxResendTimes",
  "ResendTimeoutSeconds",
  "MaxTopicFiltersPerSub",
  "MaxGroupFanout",
  "MaxPersistentFanout",
  "MaxPersistentFanoutBytes",
  "MaxSessionExpirySeconds",
  "MinSessionExpirySeconds",
  "MinKeepAliveSeconds",
  "SessionInboxSize",
  "QoS0DropOldest",
  "RetainMessageMatchLimit"
]

/** Its enum `TenantResourceType`. */
const theirResources = [
  "TotalConnections",
  "TotalSessionMemoryBytes",
  "TotalPersistentSessions",
  "TotalPersistentSessionSpaceBytes",
  "TotalConnectPerSecond",
  "TotalInboundBytesPerSecond",
  "TotalPersistentSubscriptions",
  "TotalPersistentSubscribePerSecond",
  "TotalPersistentUnsubscribePerSecond",
  "TotalTransientSubscriptions",
  "TotalTransientSubscribePerSecond",
  "TotalTransientUnsubscribePerSecond",
  "TotalTransientFanOutBytesPerSeconds",
  "TotalPersistentFanOutBytesPerSeconds",
  "TotalSharedSubscriptions",
  "TotalRetainTopics",
  "TotalRetainMessageSpaceBytes",
  "TotalRetainedMessagesPerSeconds",
  "TotalRetainedBytesPerSecond",
  "TotalRetainMatchPerSeconds",
  "TotalRetainMatchBytesPerSecond"
]

/** Why there is none of ours. */
const absent: ReadonlyMap<string, string> = new Map([
  ["ByPassPermCheckError", "an authorizer that fails would grant everything; a failure means no"],
  ["PayloadFormatValidationEnabled", "always checked"],
  ["MinSendPerSec", "the send quota is the client's Receive Maximum and inflightMax, nothing below it"],
  ["MaxResendTimes", "nothing is sent again on a live connection (5.0, 4.4)"],
  ["ResendTimeoutSeconds", "the same; stalledAfter reports the client instead"]
])

const covered = new Set(settingNames.flatMap((name) => settingsTable[name].bifromq))

describe("BifroMQ", () => {
  test("has 38 settings and 21 resources", () => {
    expect(new Set(theirSettings).size).toBe(38)
    expect(new Set(theirResources).size).toBe(21)
  })

  test.each([...theirSettings, ...theirResources])("%s is covered, or absent for a reason", (name) => {
    expect([covered.has(name), absent.has(name)].filter(Boolean)).toEqual([true])
  })

  test("has whatever the table and the reasons name", () => {
    const theirs = new Set([...theirSettings, ...theirResources])
    expect([...covered, ...absent.keys()].filter((name) => !theirs.has(name))).toEqual([])
  })
})

describe("the defaults", () => {
  test("limit no rate and no window", () => {
    const limited = settingNames.filter(
      (name) => /Rate$|Per(Day|Month)$/.test(name) && defaultTenantSettings[name] !== 0
    )
    expect(limited).toEqual([])
  })

  test("leave room where BifroMQ's are complained of", () => {
    expect(defaultTenantSettings).toMatchObject({
      willBytesMax: 65_535,
      topicFiltersPerPacketMax: 10_000,
      retainedMatchMax: 0,
      keepAliveMin: 0,
      sessionExpiryIntervalMax: NEVER_EXPIRES
    })
  })

  test("bound what takes memory or disk", () => {
    for (const name of ["queueMessagesMax", "queueBytesMax", "tenantQueueBytesMax", "sessionsMax"] as const)
      expect(defaultTenantSettings[name]).toBeGreaterThan(0)
  })
})

describe("the table", () => {
  test("has every setting in one group", () => {
    expect(settingGroups.flatMap(({ names }): ReadonlyArray<string> => names)).toEqual([...settingNames])
  })

  test("says in what a number counts", () => {
    const numbers = settingNames.filter(
      (name) => typeof settingsTable[name].default === "number" && !["maximumQos", "weight"].includes(name)
    )
    expect(numbers.filter((name) => settingsTable[name].unit === undefined)).toEqual([])
  })
})
