/** Clients and their sessions, over the control socket: who is there, who goes, and why something happens. */

import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Broker } from "../Broker.ts"
import type { Explain } from "../explain/Explain.ts"
import { ReasonCode } from "../protocol/ReasonCode.ts"
import { type AdministrationError, refused } from "./AdministrationError.ts"
import { bodyOf, type ControlRoute, queryOf } from "./ControlRoute.ts"

const CLIENTS_MAX = 10_000

const flag = Schema.transform(Schema.Literal("true", "false"), Schema.Boolean, {
  strict: true,
  decode: (text) => text === "true",
  encode: (value) => (value ? "true" : "false")
})

const Listing = Schema.Struct({
  tenant: Schema.optional(Schema.NonEmptyString),
  contains: Schema.optional(Schema.String),
  connected: Schema.optional(flag),
  limit: Schema.optionalWith(Schema.NumberFromString.pipe(Schema.int(), Schema.between(1, CLIENTS_MAX)), {
    default: () => 100
  })
})

const Client = { tenant: Schema.NonEmptyString, client: Schema.NonEmptyString }

const Disconnection = Schema.Struct({
  ...Client,
  reason: Schema.optionalWith(Schema.String.pipe(Schema.maxLength(1000)), {
    default: () => "disconnected by the operator"
  })
})

const Purge = Schema.Struct({
  ...Client,
  will: Schema.optionalWith(Schema.Literal("publish", "suppress"), { default: () => "publish" as const })
})

const Inquiry = Schema.Struct({
  ...Client,
  action: Schema.Literal("connect", "publish", "subscribe", "receive"),
  topic: Schema.optionalWith(Schema.String.pipe(Schema.maxLength(65_535)), { default: () => "" }),
  qos: Schema.optionalWith(Schema.transformLiterals(["0", 0], ["1", 1], ["2", 2]), {
    default: () => 0 as const
  }),
  retain: Schema.optionalWith(flag, { default: () => false })
})

export const clientRoutes = (
  broker: Broker["Type"],
  { explain }: Explain["Type"]
): ReadonlyArray<ControlRoute> => {
  const { administration } = broker
  const found = (tenant: string, clientId: string): Effect.Effect<void, AdministrationError> =>
    Effect.flatMap(administration.session(tenant, clientId, { action: "connect", topic: "" }), (session) =>
      session === undefined
        ? refused("not-found", `there is no client ${clientId} of tenant ${tenant}`)
        : Effect.void
    )
  return [
    {
      method: "GET",
      path: "/clients",
      handle: (request) =>
        Effect.map(queryOf(request, Listing), ({ connected, ...listing }) => ({
          clients: administration.clients({ ...listing, isConnected: connected })
        }))
    },
    {
      method: "POST",
      path: "/clients/disconnect",
      handle: (request) =>
        Effect.gen(function* () {
          const { client: clientId, reason, tenant } = yield* bodyOf(request, Disconnection)
          yield* found(tenant, clientId)
          const ending = { reasonCode: ReasonCode.AdministrativeAction, reason }
          administration.close({ tenant, clientId, covers: () => true, ending })
        })
    },
    {
      method: "POST",
      path: "/clients/purge",
      handle: (request) =>
        Effect.gen(function* () {
          const { client: clientId, tenant, will } = yield* bodyOf(request, Purge)
          yield* found(tenant, clientId)
          broker.purge(tenant, clientId, { will })
        })
    },
    {
      method: "GET",
      path: "/explain",
      handle: (request) =>
        Effect.flatMap(queryOf(request, Inquiry), ({ client: clientId, ...question }) =>
          Effect.mapError(explain({ ...question, clientId }), ({ isUnknown, reason, tenant }) =>
            isUnknown === true
              ? refused("not-found", `there is no tenant ${tenant}`)
              : refused("unavailable", reason)
          )
        )
    }
  ]
}
