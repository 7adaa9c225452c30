/**
 * Every setting does what its name says: for clients of 3.1.1 and of 5.0, over a whole broker, or in the
 * tests of the folder that is named for it.
 */

import { describe, expect, test } from "bun:test"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { settingNames, type TenantSettings } from "../../../src/tenant/TenantSettings.ts"
import { connectionScenes } from "./connectionScenes.ts"
import { queueScenes } from "./queueScenes.ts"
import { play, type Scene } from "./Scene.ts"
import { topicScenes } from "./topicScenes.ts"

const scenes: Readonly<Partial<Record<keyof TenantSettings, Scene>>> = {
  ...connectionScenes,
  ...queueScenes,
  ...topicScenes
}

/** The folders of tests that prove the others. */
const elsewhere: Readonly<Record<string, string>> = {
  weight: "test/tenant",
  durability: "test/broker",
  retainedPublisherCheck: "test",
  debugEvents: "test/events",
  eventTopics: "test/events",
  systemTopics: "test/telemetry",
  tracePropagation: "test/telemetry",
  burstSeconds: "test/tenant/quota",
  publishRate: "test/tenant/quota",
  inboundBytesRate: "test/tenant/quota",
  outboundBytesRate: "test/tenant/quota",
  connectionsMax: "test/tenant/quota",
  sessionMemoryBytesMax: "test/tenant/quota",
  persistentSessionsMax: "test/tenant/quota",
  persistentSessionBytesMax: "test/tenant/quota",
  transientSubscriptionsMax: "test/tenant/quota",
  persistentSubscriptionsMax: "test/tenant/quota",
  sharedSubscriptionsMax: "test/tenant/quota",
  connectRate: "test/tenant/quota",
  tenantPublishRate: "test/tenant/quota",
  tenantInboundBytesRate: "test/tenant/quota",
  tenantOutboundBytesRate: "test/tenant/quota",
  transientSubscribeRate: "test/tenant/quota",
  persistentSubscribeRate: "test/tenant/quota",
  transientUnsubscribeRate: "test/tenant/quota",
  persistentUnsubscribeRate: "test/tenant/quota",
  retainRate: "test/tenant/quota",
  retainBytesRate: "test/tenant/quota",
  retainedMatchRate: "test/tenant/quota",
  retainedMatchBytesRate: "test/tenant/quota",
  transientFanoutBytesRate: "test/tenant/quota",
  persistentFanoutBytesRate: "test/tenant/quota",
  messagesPerDay: "test/tenant/quota",
  messagesPerMonth: "test/tenant/quota",
  bytesPerDay: "test/tenant/quota",
  bytesPerMonth: "test/tenant/quota",
  deliveriesPerDay: "test/tenant/quota",
  deliveriesPerMonth: "test/tenant/quota",
  deliveryBytesPerDay: "test/tenant/quota",
  deliveryBytesPerMonth: "test/tenant/quota"
}

describe("a setting is enforced:", () => {
  for (const [setting, scene] of Object.entries(scenes)) {
    for (const version of [4, 5] as const) {
      test(`${setting}, version ${version}`, () => play(scene, version))
    }
  }
})

describe("a setting that another test proves:", () => {
  const root = join(import.meta.dir, "..", "..", "..")
  const textOf = (folder: string): string =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".ts") && !name.endsWith("enforcement.test.ts"))
      .map((name) => readFileSync(join(root, folder, name), "utf8"))
      .join("\n")
  const texts = new Map([...new Set(Object.values(elsewhere))].map((folder) => [folder, textOf(folder)]))

  for (const [setting, folder] of Object.entries(elsewhere)) {
    test(`${setting} is named in ${folder}`, () => {
      expect(new RegExp(`\\b${setting}\\b`).test(texts.get(folder) ?? "")).toBe(true)
    })
  }
})

test("there is a row for every setting of the table", () => {
  const rows = new Set([...Object.keys(scenes), ...Object.keys(elsewhere)])
  expect(settingNames.filter((name) => !rows.has(name))).toEqual([])
})
