import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { composed } from "../../../src/tenant/policy/composed.ts"
import type { PolicyMessage } from "../../../src/tenant/policy/PolicyMessage.ts"
import { type Policy, TenantPolicy } from "../../../src/tenant/policy/TenantPolicy.ts"
import { type Answer, allow, drop, refuse, transform } from "../../../src/tenant/policy/Verdict.ts"
import { identityOf } from "../../support/credentials.ts"

const message: PolicyMessage = {
  topic: "t",
  payload: new Uint8Array(),
  qos: 1,
  retain: false,
  publisherId: "p",
  isWill: false,
  messageExpiryInterval: undefined,
  userProperties: [],
  contentType: "text/plain",
  responseTopic: undefined,
  correlationData: undefined,
  payloadFormatIndicator: undefined
}

const subscription = {
  topicFilter: "f",
  group: undefined,
  qos: 2,
  noLocal: false,
  retainAsPublished: false,
  retainHandling: 0,
  userProperties: []
} as const

const client = identityOf("ada")

/** Puts its letter behind every name, and writes down what it is asked. */
const letter = (name: string, asked: Array<string>, later = false): Policy => {
  const answer = <A>(value: A): Answer<A> => (later ? Effect.as(Effect.yieldNow(), value) : value)
  return {
    admit: () => {
      asked.push(name)
      return answer(allow)
    },
    publish: ({ topic }) => {
      asked.push(`${name} ${topic}`)
      return answer(transform({ topic: topic + name, userProperties: [[name, ""] as const] }))
    },
    subscribe: ({ topicFilter }) => answer(transform({ topicFilter: topicFilter + name })),
    unsubscribe: ({ topicFilter }) => answer(transform({ topicFilter: topicFilter + name })),
    deliver: ({ topic }) => answer(transform({ topic: topic + name })),
    settings: (tenant) =>
      answer({ publishRate: name.charCodeAt(0), ...(name === "a" && { weight: tenant.length }) })
  }
}

const settled = <A>(answer: Answer<A> | undefined): Promise<A> =>
  answer === undefined
    ? Promise.reject(new TypeError("there is no such hook"))
    : Effect.runPromise(Effect.isEffect(answer) ? answer : Effect.succeed(answer))

describe.each([
  ["at once", false],
  ["later", true]
] as const)("policies that answer %s", (_, later) => {
  const asked: Array<string> = []
  const policy = composed(letter("a", asked), letter("b", asked, later), letter("c", asked))

  test("each sees what the one before has made of it, and the changes add up", async () => {
    asked.length = 0
    expect(await settled(policy.publish?.(message, client))).toEqual({
      _tag: "Transform",
      change: { topic: "tabc", userProperties: [["c", ""]] }
    })
    expect(asked).toEqual(["a t", "b ta", "c tab"])
    expect(await settled(policy.subscribe?.(subscription, client))).toMatchObject({
      change: { topicFilter: "fabc" }
    })
    expect(await settled(policy.unsubscribe?.(subscription, client))).toMatchObject({
      change: { topicFilter: "fabc" }
    })
  })

  test("deliveries go the other way", async () => {
    expect(await settled(policy.deliver?.(message, client))).toMatchObject({ change: { topic: "tcba" } })
  })

  test("of settings the later one has its way", async () => {
    expect(await settled(policy.settings?.("acme"))).toEqual({ publishRate: 99, weight: 4 })
  })
})

describe("composed", () => {
  test("the first refusal holds, and nobody is asked after it", async () => {
    const asked: Array<string> = []
    const no = refuse(0x97, "no")
    const refusing: Policy = {
      admit: () => no,
      publish: () => no,
      subscribe: () => no,
      unsubscribe: () => no,
      deliver: () => drop("no")
    }
    const policy = composed(refusing, letter("a", asked))
    const newcomer = { identity: client } as Parameters<NonNullable<Policy["admit"]>>[0]
    expect(await settled(policy.admit?.(newcomer))).toEqual(no)
    expect(await settled(policy.publish?.(message, client))).toEqual(no)
    expect(await settled(policy.subscribe?.(subscription, client))).toEqual(no)
    expect(asked).toEqual([])
    // A drop of the first one, who is asked last.
    expect(await settled(policy.deliver?.(message, client))).toEqual(drop("no"))
  })

  test("what all of them allow is allowed, as it is", async () => {
    const policy = composed({ publish: () => allow }, {}, { publish: () => Effect.succeed(allow) })
    expect(await settled(policy.publish?.(message, client))).toEqual(allow)
  })

  test("a hook that nobody has is not there", () => {
    expect(composed({}, {})).toEqual({})
    expect(Object.keys(composed({ deliver: () => allow }, { publish: () => allow }))).toEqual([
      "publish",
      "deliver"
    ])
  })

  test("the next policy sees properties that were taken away as absent, and text as bytes", async () => {
    const seen: Array<unknown> = []
    const policy = composed(
      { publish: () => transform({ contentType: undefined, payload: "ü", messageExpiryInterval: 5 }) },
      {
        publish: ({ contentType, messageExpiryInterval, payload, qos }) => {
          seen.push(contentType, [...payload], messageExpiryInterval, qos)
          return allow
        }
      }
    )
    await settled(policy.publish?.(message, client))
    expect(seen).toEqual([undefined, [0xc3, 0xbc], 5, 1])
  })

  test("a hook keeps its policy", async () => {
    class Counting implements Policy {
      count = 0
      publish() {
        this.count++
        return allow
      }
    }
    const counting = new Counting()
    await settled(composed(counting, {}).publish?.(message, client))
    expect(counting.count).toBe(1)
  })
})

describe("layers", () => {
  const topicOf = (layer: Layer.Layer<TenantPolicy>, tenant: string) =>
    Effect.runPromise(
      Effect.provide(
        Effect.flatMap(TenantPolicy, (policies) => {
          const answer = policies.of(tenant)?.publish?.(message, client)
          return Effect.promise<unknown>(() =>
            answer === undefined ? Promise.resolve("none") : settled(answer)
          )
        }),
        layer
      )
    )

  test("without one there is no policy", async () => {
    const policies = await Effect.runPromise(TenantPolicy)
    expect(policies.of("acme")).toBeUndefined()
  })

  test("each tenant has its own", async () => {
    const layer = TenantPolicy.forTenant((tenant) => (tenant === "acme" ? letter("a", []) : undefined))
    expect(await topicOf(layer, "acme")).toMatchObject({ change: { topic: "ta" } })
    expect(await topicOf(layer, "other")).toBe("none")
  })

  test("one layer behind the other", async () => {
    const first = TenantPolicy.forTenant((tenant) => (tenant === "acme" ? letter("a", []) : undefined))
    const layer = Layer.provide(TenantPolicy.layerThen(letter("b", [])), first)
    expect(await topicOf(layer, "acme")).toMatchObject({ change: { topic: "tab" } })
    expect(await topicOf(layer, "other")).toMatchObject({ change: { topic: "tb" } })
  })

  test("one that has to be made", async () => {
    const layer = TenantPolicy.layerEffect(Effect.sync(() => letter("m", [])))
    expect(await topicOf(layer, "acme")).toMatchObject({ change: { topic: "tm" } })
  })
})
