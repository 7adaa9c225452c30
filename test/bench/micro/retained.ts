/**
 * What a new subscription pays for retained messages: `bun test/bench/micro/run.ts [--quick] retained`.
 *
 * Look-ups go by pages of 256 as the router asks for them, and count until the last page. `topic` measures
 * the tree behind it with a million topics; this one is the store as a session sees it, with 100,000 (quick:
 * 10,000) retained messages.
 */

import type { Publication } from "../../../src/router/Publication.ts"
import { RetainedMessages } from "../../../src/router/RetainedMessages.ts"
import type { RetainedRequest } from "../../../src/router/Subscriber.ts"
import { Counters } from "../../../src/telemetry/Counters.ts"
import { defaultTenantSettings } from "../../../src/tenant/TenantSettings.ts"
import { messageTo, Peer } from "../../router/support.ts"
import type { Figure, RunOptions } from "./run.ts"
import { sampled, shuffled } from "./Sampling.ts"

const lines = 100
const pageMax = 256

export const run = ({ quick }: RunOptions): ReadonlyArray<Figure> => {
  const count = quick ? 10_000 : 100_000
  const timeNs = quick ? 2e7 : 4e8
  const retained = new RetainedMessages(defaultTenantSettings, new Counters())
  const topicOf = (id: number): string => `plant/line-${id % lines}/device-${id}/state`
  for (let id = 0; id < count; id++) retained.retain(messageTo(topicOf(id), { retain: true }), 0)

  const some = shuffled(Array.from({ length: count }, (_, id) => id)).slice(0, 1_000)
  const exact = some.map(topicOf)
  const devices = some.map((id) => `plant/line-${id % lines}/device-${id}/+`)
  const oneOf = (filters: ReadonlyArray<string>) =>
    sampled(filters.length, timeNs, () => {
      for (const filter of filters) read(retained, filter)
    })
  const manyOf = (filter: string) => {
    const matches = read(retained, filter)
    if (matches === 0) throw new Error(`${filter} matches nothing`)
    return sampled(matches, timeNs, () => read(retained, filter))
  }
  const name = `${count} retained:`
  return [
    { name: `${name} a topic`, unit: "ns", ...oneOf(exact) },
    { name: `${name} a topic that has none`, unit: "ns", ...oneOf(exact.map((topic) => `${topic}/none`)) },
    { name: `${name} {device}/+, one match`, unit: "ns", ...oneOf(devices) },
    { name: `${name} other/#, none`, unit: "ns", ...oneOf(["other/#"]) },
    {
      name: `${name} {line}/+/state, ${count / lines} matches, each`,
      unit: "ns",
      ...manyOf("plant/line-7/+/state")
    },
    { name: `${name} {line}/#, ${count / lines} matches, each`, unit: "ns", ...manyOf("plant/line-7/#") },
    { name: `${name} #, all, each`, unit: "ns", ...manyOf("#") }
  ]
}

const subscriber = new Peer()
const options: RetainedRequest["options"] = {
  qos: 0,
  retainAsPublished: false,
  subscriptionIdentifiers: [],
  group: undefined,
  isRetained: true
}

/** How many match. */
const read = (retained: RetainedMessages, topicFilter: string): number => {
  const page: Array<Publication> = []
  let from: string | undefined
  let matches = 0
  do {
    page.length = 0
    const request = {
      _tag: "RetainedRequest",
      subscriber,
      topicFilter,
      options,
      from,
      limit: pageMax
    } as const
    from = retained.page(request, 0, page)
    matches += page.length
  } while (from !== undefined)
  return matches
}
