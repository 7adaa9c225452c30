/**
 * Traces of two tenants' operations, as values that FastCheck can make smaller: what clients do, what becomes
 * of the tenant, how its services behave. Both tenants draw from the same names on purpose.
 */

import * as FastCheck from "effect/FastCheck"
import type { Version } from "../../support/raw.ts"

export const clientIds = ["c0", "c1", "__proto__"]

export const topics = ["t", "t", "t/1", "t/1/x", "deny/1", "__proto__", "$odd/t"]

export const topicFilters = [
  "t/+",
  "#",
  "+/1/#",
  "deny/1",
  "$SYS/#",
  "$share/g/t/#",
  "$share/g/t/#",
  "$share/g/#",
  "$oshare/g/t/#",
  "$share/constructor/t"
]

export type ClientStep =
  | {
      readonly _tag: "Connect"
      readonly version: Version
      readonly clean: boolean
      readonly isLasting: boolean
      /** Index of its topic; -1 for none. */
      readonly will: number
      readonly willDelayed: boolean
    }
  | {
      readonly _tag: "Publish"
      readonly topic: number
      readonly qos: number
      readonly retain: boolean
      readonly bytes: number
      readonly times: number
    }
  | { readonly _tag: "Subscribe"; readonly filters: ReadonlyArray<number>; readonly options: number }
  | { readonly _tag: "Unsubscribe"; readonly filter: number }
  | { readonly _tag: "Leave"; readonly how: "disconnect" | "with will" | "drop" }
  /** Bytes of no packet, or of one that breaks the protocol. */
  | { readonly _tag: "Break"; readonly how: number }
  /** From now on it takes nothing, or acknowledges nothing. */
  | { readonly _tag: "Stall"; readonly how: "deaf" | "silent" }

export type Fault = "well" | "throws" | "dies" | "fails" | "hangs" | "nonsense" | "denies"

export type Service = "authenticator" | "authorizer" | "decisions" | "policy" | "directory"

export type TenantStep =
  | { readonly _tag: "Settings"; readonly choice: number }
  | { readonly _tag: "State"; readonly state: "active" | "suspended" | "draining" }
  | { readonly _tag: "Remove" }
  | { readonly _tag: "Create" }
  | { readonly _tag: "Ban"; readonly what: "client" | "user"; readonly client: number }
  | { readonly _tag: "Unban" }
  | { readonly _tag: "Service"; readonly service: Service; readonly fault: Fault }
  | { readonly _tag: "Reauthorize" }
  | { readonly _tag: "Purge"; readonly client: number }
  | { readonly _tag: "Ask" }

export type Step =
  /** `isAwaited`: it has its whole effect before the next step. That of the watched tenant always has. */
  | {
      readonly _tag: "Client"
      readonly tenant: "a" | "b"
      readonly client: number
      readonly step: ClientStep
      readonly isAwaited: boolean
    }
  /** Only ever of tenant a. */
  | { readonly _tag: "Tenant"; readonly step: TenantStep; readonly isAwaited: boolean }
  | { readonly _tag: "Time"; readonly ms: number }

const { boolean, constantFrom, integer, oneof, record } = FastCheck

const tagged = <const Tag extends string, Fields extends object>(
  tag: Tag,
  fields: { readonly [Name in keyof Fields]: FastCheck.Arbitrary<Fields[Name]> }
): FastCheck.Arbitrary<{ readonly _tag: Tag } & Fields> =>
  record<Fields>(fields as { [Name in keyof Fields]: FastCheck.Arbitrary<Fields[Name]> }).map((values) => ({
    _tag: tag,
    ...values
  }))

const index = (of: ReadonlyArray<unknown>) => integer({ min: 0, max: of.length - 1 })

const connect = tagged("Connect", {
  version: constantFrom<Array<Version>>(3, 4, 5),
  clean: boolean(),
  isLasting: boolean(),
  will: integer({ min: -1, max: topics.length - 1 }),
  willDelayed: boolean()
})

const subscribe = tagged("Subscribe", {
  filters: FastCheck.array(index(topicFilters), { minLength: 1, maxLength: 3 }),
  options: constantFrom(0, 1, 2, 9, 0x21)
})

const publishOf = (times: ReadonlyArray<number>) =>
  tagged("Publish", {
    topic: index(topics),
    qos: integer({ min: 0, max: 2 }),
    retain: boolean(),
    bytes: constantFrom(0, 10, 300),
    times: constantFrom(...times)
  })

const clientStep = (times: ReadonlyArray<number>): FastCheck.Arbitrary<ClientStep> =>
  oneof(
    { weight: 4, arbitrary: connect },
    { weight: 16, arbitrary: publishOf(times) },
    { weight: 5, arbitrary: subscribe },
    { weight: 1, arbitrary: tagged("Unsubscribe", { filter: index(topicFilters) }) },
    {
      weight: 2,
      arbitrary: tagged("Leave", {
        how: constantFrom<Array<"disconnect" | "with will" | "drop">>("disconnect", "with will", "drop")
      })
    },
    { weight: 1, arbitrary: tagged("Break", { how: integer({ min: 0, max: 3 }) }) },
    {
      weight: 1,
      arbitrary: tagged("Stall", { how: constantFrom<Array<"deaf" | "silent">>("deaf", "silent") })
    }
  )

const client = integer({ min: 0, max: clientIds.length - 1 })

const tenantStep: FastCheck.Arbitrary<TenantStep> = oneof(
  { weight: 4, arbitrary: tagged("Settings", { choice: integer({ min: 0, max: 7 }) }) },
  {
    weight: 5,
    arbitrary: tagged("Service", {
      service: constantFrom<Array<Service>>(
        "authenticator",
        "authorizer",
        "decisions",
        "policy",
        "directory"
      ),
      fault: constantFrom<Array<Fault>>("well", "throws", "dies", "fails", "hangs", "nonsense", "denies")
    })
  },
  {
    weight: 2,
    arbitrary: tagged("State", {
      state: constantFrom<Array<"active" | "suspended" | "draining">>("active", "suspended", "draining")
    })
  },
  { weight: 1, arbitrary: tagged("Remove", {}) },
  { weight: 1, arbitrary: tagged("Create", {}) },
  {
    weight: 1,
    arbitrary: tagged("Ban", { what: constantFrom<Array<"client" | "user">>("client", "user"), client })
  },
  { weight: 1, arbitrary: tagged("Unban", {}) },
  { weight: 2, arbitrary: tagged("Reauthorize", {}) },
  { weight: 1, arbitrary: tagged("Purge", { client }) },
  { weight: 1, arbitrary: tagged("Ask", {}) }
)

const step = (tenant: "a" | "b", times: ReadonlyArray<number>): FastCheck.Arbitrary<Step> =>
  tagged("Client", {
    tenant: FastCheck.constant(tenant),
    client,
    step: clientStep(times),
    isAwaited: tenant === "b" ? FastCheck.constant(true) : boolean()
  })

/** All clients of a tenant come and subscribe before anything else: a trace without them shows little. */
const opening = (tenant: "a" | "b"): FastCheck.Arbitrary<ReadonlyArray<Step>> =>
  FastCheck.tuple(
    ...clientIds.flatMap((_, client) =>
      [connect, subscribe].map((arbitrary) =>
        tagged("Client", {
          tenant: FastCheck.constant(tenant),
          client: FastCheck.constant(client),
          step: arbitrary,
          isAwaited: FastCheck.constant(true)
        })
      )
    )
  )

export interface TraceOptions {
  readonly withTime: boolean
  /** How often a client of tenant b publishes in one step. */
  readonly times: ReadonlyArray<number>
}

export const traces = ({ times, withTime }: TraceOptions): FastCheck.Arbitrary<ReadonlyArray<Step>> => {
  const steps = FastCheck.array(
    oneof(
      { weight: 6, arbitrary: step("a", [1, 1, 5, 20]) },
      { weight: 3, arbitrary: tagged("Tenant", { step: tenantStep, isAwaited: boolean() }) },
      { weight: 6, arbitrary: step("b", times) },
      {
        weight: withTime ? 2 : 0,
        arbitrary: tagged("Time", { ms: constantFrom(100, 1100, 5100, 10_100, 61_000) })
      }
    ),
    { minLength: 40, maxLength: 100 }
  )
  return FastCheck.tuple(opening("b"), opening("a"), steps).map((parts) => parts.flat())
}
