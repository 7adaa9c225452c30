/** The way of the command line to the users: a broker that runs, or else its database. */

import type * as Options from "@effect/cli/Options"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { UserDirectory } from "../auth/users/UserDirectory.ts"
import type { Config, ConfigError } from "../config/Config.ts"
import { AdministrationError } from "../control/AdministrationError.ts"
import { UserAdmin, UserDetails } from "../control/UserAdmin.ts"
import type { StorageError } from "../storage/StorageError.ts"
import { layerSqlite } from "../storage/sqlite.ts"
import { type Ask, BrokerUnreachable, callControl, controlPath, told } from "./control.ts"
import type { ConfigAccess } from "./database.ts"

export type UserFailure = ConfigError | BrokerUnreachable | AdministrationError | StorageError

/** What is asked may also fail because the broker has gone. */
export type Users = {
  readonly [Name in keyof UserAdmin["Type"]]: UserAdmin["Type"][Name] extends (
    ...given: infer Given
  ) => Effect.Effect<infer A, infer E>
    ? (...given: Given) => Effect.Effect<A, E | BrokerUnreachable>
    : never
}

export interface UserAccess<R> {
  readonly config: Options.Options<Option.Option<string>>
  /** Begins anew with the database when no broker runs: the first thing that it does is to ask. */
  readonly withUsers: <A>(
    config: Option.Option<string>,
    use: (users: Users) => Effect.Effect<A, AdministrationError | BrokerUnreachable>
  ) => Effect.Effect<A, UserFailure, R>
}

export const userAccess = <R>({ load, option }: ConfigAccess<R>): UserAccess<R> => ({
  config: option,
  withUsers: (file, use) =>
    Effect.flatMap(load(file), (config) => {
      const path = controlPath(config)
      if (path === undefined) return inDatabase(config, use, noSocket)
      return Effect.catchTag(
        use(askingUsers((call, answer) => callControl(path, call, answer))),
        "BrokerUnreachable",
        (unreachable) => inDatabase(config, use, unreachable)
      )
    })
})

const noSocket = new BrokerUnreachable({
  reason: "a broker of this configuration has neither a control socket nor a database: see control.path"
})

/** Fails when a broker has the database, or when there is none, which is the broker's memory then. */
const inDatabase = <A>(
  { storage }: Config,
  use: (users: Users) => Effect.Effect<A, AdministrationError | BrokerUnreachable>,
  unreachable: BrokerUnreachable
): Effect.Effect<A, UserFailure> => {
  if (storage.kind === "memory") return Effect.fail(unreachable)
  const users = UserAdmin.layer.pipe(
    Layer.provide(UserDirectory.layer),
    Layer.provide(layerSqlite({ path: storage.path }))
  )
  return Effect.flatMap(Layer.build(users), (context) => use(Context.get(context, UserAdmin))).pipe(
    Effect.scoped,
    Effect.mapError((error) => (error instanceof AdministrationError ? told(error) : error))
  )
}

const List = Schema.Struct({ users: Schema.Array(UserDetails) })

const pathOf = (username: string): string => `/users/${encodeURIComponent(username)}`

/** The users of a broker that runs. */
const askingUsers = (ask: Ask): Users => ({
  list: (query) =>
    Effect.map(ask({ method: "GET", path: "/users", query: { ...query } }, List), ({ users }) => users),
  get: (username) => ask({ method: "GET", path: pathOf(username) }, UserDetails),
  add: (user) => ask({ method: "POST", path: "/users", body: user }, UserDetails),
  edit: (username, changes) => ask({ method: "PATCH", path: pathOf(username), body: changes }, UserDetails),
  remove: (username) => Effect.asVoid(ask({ method: "DELETE", path: pathOf(username) }, Schema.Struct({})))
})
