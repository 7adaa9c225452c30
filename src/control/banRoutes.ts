/** Bans, over the control socket. */

import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { BanSubject } from "../auth/guard/BanList.ts"
import { type AdministrationError, refused } from "./AdministrationError.ts"
import type { BanAdmin } from "./BanAdmin.ts"
import { bodyOf, type ControlRoute } from "./ControlRoute.ts"

/** One of address, client and user; the last two with their tenant. */
const Subject = {
  tenant: Schema.optional(Schema.NonEmptyString),
  client: Schema.optional(Schema.NonEmptyString),
  user: Schema.optional(Schema.NonEmptyString),
  address: Schema.optional(Schema.NonEmptyString)
}

const Addition = Schema.Struct({
  ...Subject,
  reason: Schema.optionalWith(Schema.String.pipe(Schema.maxLength(1000)), { default: () => "banned" }),
  /** For ever when it is absent. */
  seconds: Schema.optional(Schema.Int.pipe(Schema.between(1, 10_000_000_000)))
})

const Removal = Schema.Struct(Subject)

export const banRoutes = (admin: BanAdmin["Type"]): ReadonlyArray<ControlRoute> => [
  { method: "GET", path: "/bans", handle: () => Effect.map(admin.list, (bans) => ({ bans })) },
  {
    method: "POST",
    path: "/bans",
    handle: (request) =>
      Effect.gen(function* () {
        const { reason, seconds, ...named } = yield* bodyOf(request, Addition)
        const subject = yield* subjectOf(named)
        const nowMs = yield* Clock.currentTimeMillis
        const untilMs = seconds === undefined ? undefined : nowMs + seconds * 1000
        yield* admin.add({ subject, reason, untilMs })
      })
  },
  {
    method: "POST",
    path: "/bans/remove",
    handle: (request) =>
      Effect.flatMap(bodyOf(request, Removal), (named) => Effect.flatMap(subjectOf(named), admin.remove))
  }
]

const subjectOf = ({
  address,
  client,
  tenant,
  user
}: typeof Removal.Type): Effect.Effect<BanSubject, AdministrationError> => {
  const given = [address, client, user].filter((each) => each !== undefined)
  if (given.length !== 1) return refused("invalid", "name one of address, client and user")
  if (address !== undefined) {
    return tenant === undefined
      ? Effect.succeed({ _tag: "Address", network: address })
      : refused("invalid", "an address is banned for all tenants")
  }
  if (tenant === undefined) return refused("invalid", "name the tenant, too")
  return client === undefined
    ? Effect.succeed({ _tag: "User", tenant, principal: user ?? "" })
    : Effect.succeed({ _tag: "Client", tenant, clientId: client })
}
