/** The users of the directory, over the control socket. */

import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { bodyOf, type ControlRequest, type ControlRoute, param, queryOf } from "./ControlRoute.ts"
import { UserAddition, type UserAdmin, UserAlteration } from "./UserAdmin.ts"

const Query = Schema.Struct({
  tenant: Schema.optional(Schema.String),
  after: Schema.optionalWith(Schema.String, { default: () => "" })
})

export const userRoutes = (admin: UserAdmin["Type"]): ReadonlyArray<ControlRoute> => {
  const userOf = (request: ControlRequest) => param(request, "user")
  return [
    {
      method: "GET",
      path: "/users",
      handle: (request) =>
        Effect.flatMap(queryOf(request, Query), (query) =>
          Effect.map(admin.list(query), (users) => ({ users }))
        )
    },
    {
      method: "POST",
      path: "/users",
      handle: (request) => Effect.flatMap(bodyOf(request, UserAddition), admin.add)
    },
    { method: "GET", path: "/users/:user", handle: (request) => admin.get(userOf(request)) },
    {
      method: "PATCH",
      path: "/users/:user",
      handle: (request) =>
        Effect.flatMap(bodyOf(request, UserAlteration), (changes) => admin.edit(userOf(request), changes))
    },
    { method: "DELETE", path: "/users/:user", handle: (request) => admin.remove(userOf(request)) }
  ]
}
