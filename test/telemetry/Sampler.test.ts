import { describe, expect, test } from "bun:test"
import { encodeForwardedProperties } from "../../src/protocol/Properties.ts"
import {
  type Candidate,
  SAMPLING_RULES_MAX,
  Sampler,
  type SamplerOptions
} from "../../src/telemetry/tracing/Sampler.ts"

const nothing = new Uint8Array(0)
const message: Candidate = { tenant: "acme", clientId: "c1", topic: "a/b", forwardedProperties: nothing }

/** The middle of each hundredth, over and over. */
const evenly = (): (() => number) => {
  let step = 0
  return () => ((step++ % 100) + 0.5) / 100
}

const sampler = (options: Partial<SamplerOptions>) =>
  new Sampler({ ratio: 0, honoursParent: false, rules: [], random: evenly(), ...options })

const taken = (of: Sampler, count: number, candidate = message): number => {
  let sampled = 0
  for (let index = 0; index < count; index++) if (of.decide(candidate, 0) !== false) sampled++
  return sampled
}

const traced = (flags: string): Candidate => ({
  ...message,
  forwardedProperties: encodeForwardedProperties({
    userProperties: [["traceparent", `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-${flags}`]]
  })
})

describe("a ratio", () => {
  for (const ratio of [0.01, 0.1, 0.5, 0.9]) {
    test(`of ${ratio} takes that share`, () => {
      const share = taken(sampler({ ratio }), 100_000) / 100_000
      expect(share).toBeGreaterThan(ratio * 0.95)
      expect(share).toBeLessThan(ratio * 1.05)
    })
  }

  test("of 0 takes none and is off, of 1 takes all", () => {
    expect(taken(sampler({ ratio: 0 }), 1000)).toBe(0)
    expect(sampler({ ratio: 0 }).isOff).toBe(true)
    expect(taken(sampler({ ratio: 1 }), 1000)).toBe(1000)
    expect(sampler({ ratio: 1 }).isOff).toBe(false)
  })

  test("is changed while it runs", () => {
    const changed = sampler({ ratio: 0 })
    changed.configure({ ratio: 1, honoursParent: false })
    expect(taken(changed, 10)).toBe(10)
    changed.configure({ ratio: 0, honoursParent: false })
    expect(taken(changed, 10)).toBe(0)
  })
})

describe("what is passed over", () => {
  test("is not decided upon, and the ratio stays what it is", () => {
    const of = sampler({ ratio: 0.1 })
    let sampled = 0
    for (let index = 0; index < 100_000; index++) {
      if (!of.passesOver(0) && of.decide(message, 0) !== false) sampled++
    }
    expect(sampled / 100_000).toBeGreaterThan(0.095)
    expect(sampled / 100_000).toBeLessThan(0.105)
  })

  test("is nothing that a rule or a publisher might want", () => {
    expect(sampler({ rules: [{ tenant: "x", ratio: 1 }] }).passesOver(0)).toBe(false)
    const honouring = sampler({ honoursParent: true })
    expect(honouring.passesOver(traced("01").forwardedProperties.length)).toBe(false)
    expect(honouring.passesOver(20)).toBe(true)
    expect(sampler({}).passesOver(1000)).toBe(true)
  })
})

describe("the publisher's word", () => {
  test("decides where it is honoured, either way", () => {
    const honouring = sampler({ ratio: 0, honoursParent: true })
    expect(honouring.isOff).toBe(false)
    expect(honouring.decide(traced("01"), 0)).toMatchObject({ spanId: "00f067aa0ba902b7" })
    expect(sampler({ ratio: 1, honoursParent: true }).decide(traced("00"), 0)).toBe(false)
  })

  test("goes on in its trace, sampled, where a rule asks for the message and it says no", () => {
    const ruled = sampler({ honoursParent: true, rules: [{ clientId: "c1", ratio: 1 }] })
    expect(ruled.decide(traced("00"), 0)).toMatchObject({ spanId: "00f067aa0ba902b7", isSampled: true })
  })

  test("is nothing where it is not", () => {
    expect(sampler({ ratio: 0 }).decide(traced("01"), 0)).toBe(false)
    expect(sampler({ ratio: 1 }).decide(traced("01"), 0)).toBe(true)
  })
})

describe("a rule", () => {
  const cases = [
    { name: "for the tenant", rule: { tenant: "acme", ratio: 1 }, expected: true },
    { name: "for another tenant", rule: { tenant: "globex", ratio: 1 }, expected: false },
    { name: "for the client", rule: { clientId: "c1", ratio: 1 }, expected: true },
    {
      name: "for the client in another tenant",
      rule: { tenant: "x", clientId: "c1", ratio: 1 },
      expected: false
    },
    { name: "for the topic", rule: { topicFilter: "a/+", ratio: 1 }, expected: true },
    { name: "for another topic", rule: { topicFilter: "b/#", ratio: 1 }, expected: false },
    { name: "that is over", rule: { tenant: "acme", ratio: 1, untilMs: 1000 }, expected: false },
    { name: "that is not over", rule: { tenant: "acme", ratio: 1, untilMs: 1001 }, expected: true }
  ]
  for (const { expected, name, rule } of cases) {
    test(`${name} ${expected ? "takes" : "does not take"} the message`, () => {
      expect(sampler({ rules: [rule] }).decide(message, 1000)).toBe(expected)
    })
  }

  test("goes before the publisher's word and the ratio, the first before the second", () => {
    const none = sampler({ ratio: 1, honoursParent: true, rules: [{ tenant: "acme", ratio: 0 }] })
    expect(none.decide(traced("01"), 0)).toBe(false)
    const all = sampler({ honoursParent: true, rules: [{ tenant: "acme", ratio: 1 }] })
    expect(all.decide(traced("00"), 0)).toMatchObject({ spanId: "00f067aa0ba902b7" })
    const first = sampler({ rules: [{ tenant: "acme", ratio: 0 }, { ratio: 1 }] })
    expect(first.decide(message, 0)).toBe(false)
  })

  test("is forgotten once it is over", () => {
    const brief = sampler({ rules: [{ ratio: 1, untilMs: 1000 }] })
    expect(brief.rulesAt(999)).toHaveLength(1)
    brief.decide(message, 1000)
    expect(brief.isOff).toBe(true)
  })
})

describe("rules set one by one", () => {
  const START_MS = 1000

  test("stand before those set earlier, and instead of one about the same", () => {
    const of = sampler({ rules: [{ tenant: "acme", ratio: 1 }] })
    of.putRule({ clientId: "c1", ratio: 0, untilMs: 2000 }, START_MS)
    expect(of.decide(message, START_MS)).toBe(false)
    of.putRule({ clientId: "c1", ratio: 1, untilMs: 3000 }, START_MS)
    expect(of.rulesAt(START_MS)).toEqual([
      { clientId: "c1", ratio: 1, untilMs: 3000 },
      { tenant: "acme", ratio: 1 }
    ])
    expect(of.decide(message, START_MS)).toBe(true)
  })

  test("are taken away: one, or all; those that are over do not count", () => {
    const of = sampler({})
    of.putRule({ tenant: "acme", ratio: 1, untilMs: 1500 }, START_MS)
    of.putRule({ tenant: "acme", clientId: "c1", ratio: 1, untilMs: 3000 }, START_MS)
    of.putRule({ topicFilter: "a/#", ratio: 1, untilMs: 3000 }, START_MS)
    expect(of.removeRules({ tenant: "acme" }, 2000)).toBe(0)
    expect(of.removeRules({ tenant: "acme", clientId: "c1" }, 2000)).toBe(1)
    expect(of.rulesAt(2000)).toEqual([{ topicFilter: "a/#", ratio: 1, untilMs: 3000 }])
    expect(of.removeRules(undefined, 2000)).toBe(1)
    expect(of.isOff).toBe(true)
  })

  test("are so many at most; one about the same, and those that are over, leave room", () => {
    const of = sampler({})
    const put = (index: number, nowMs: number) =>
      of.putRule({ clientId: `c${index}`, ratio: 1, untilMs: 2000 }, nowMs)
    for (let index = 0; index < SAMPLING_RULES_MAX; index++) expect(put(index, START_MS)).toBe(true)
    expect(put(SAMPLING_RULES_MAX, START_MS)).toBe(false)
    expect(put(0, START_MS)).toBe(true)
    expect(put(SAMPLING_RULES_MAX, 2000)).toBe(true)
    expect(of.rulesAt(2000)).toEqual([])
  })
})
