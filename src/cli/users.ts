/**
 * `heddle users ...`: the users of the broker's own directory. A broker that runs is asked through its
 * control socket, so that clients who are connected feel the change; where none runs, its database is opened.
 *
 * Passwords are hashed here: nothing but the hash goes anywhere.
 */

import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import type * as Terminal from "@effect/platform/Terminal"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import type { AclRule } from "../auth/Acl.ts"
import { parseAcl } from "../auth/acl/AclText.ts"
import { hasPlaceholder } from "../auth/acl/substitute.ts"
import { defaultHashCost, type HashCost } from "../auth/password/PasswordHash.ts"
import { type UserDetails, usersPerPage } from "../control/UserAdmin.ts"
import { DEFAULT_TENANT } from "../tenant/TenantDirectory.ts"
import { jsonOption, print } from "./control.ts"
import type { ConfigAccess } from "./database.ts"
import { hashOf, type PasswdOptions, passwordFromPerson } from "./passwd.ts"
import { type UserAccess, type Users, userAccess } from "./userAccess.ts"
import { usersText, userText } from "./usersText.ts"

/** A rule on the command line is none. Told to the person at the terminal. */
class NoRule extends Data.TaggedError("NoRule")<{ readonly problem: string }> {
  override get message(): string {
    return `${this.problem}. A rule is for instance "allow publish sensors/#" or "deny subscribe secrets/#"`
  }
}

interface Parts<R> extends UserAccess<R> {
  readonly password: Effect.Effect<Redacted.Redacted, unknown, Terminal.Terminal>
  readonly cost: HashCost
}

const userArgument = Args.text({ name: "user" })

const ruleOption = Options.text("rule").pipe(
  Options.withDescription(
    "What the user may do, in the words of an access file; several are looked at in their order, and what " +
      "none allows is denied. Without any it is the authorizer's to say"
  ),
  Options.repeated
)

const scramOption = Options.boolean("scram").pipe(
  Options.withDescription("Keep what SCRAM-SHA-256 needs, which serves a plain password as well")
)

export const usersCommand = <R>(
  access: ConfigAccess<R>,
  { cost = defaultHashCost, password = passwordFromPerson }: Partial<PasswdOptions> = {}
) => {
  const parts: Parts<R> = { ...userAccess(access), password, cost }
  return Command.make("users").pipe(
    Command.withDescription(
      "Look after the users of authentication method `users`, whether the broker runs or not."
    ),
    Command.withSubcommands([
      listCommand(parts),
      showCommand(parts),
      addCommand(parts),
      setCommand(parts),
      switchCommand(parts, "disable", true, "Let a user in no more, and send away who is connected."),
      switchCommand(parts, "enable", false, "Let a user in again."),
      deleteCommand(parts)
    ])
  )
}

const listCommand = <R>({ config, withUsers }: Parts<R>) =>
  Command.make(
    "list",
    {
      config,
      json: jsonOption,
      tenant: Options.text("tenant").pipe(Options.withDescription("Only this tenant's"), Options.optional)
    },
    ({ config: own, json, tenant }) =>
      withUsers(own, (users) =>
        Effect.flatMap(allOf(users, Option.getOrUndefined(tenant)), (all) => print(json, all, usersText))
      )
  ).pipe(Command.withDescription("List the users."))

const allOf = Effect.fnUntraced(function* (users: Pick<Users, "list">, tenant: string | undefined) {
  const all: Array<UserDetails> = []
  for (;;) {
    const page = yield* users.list({ tenant, after: all.at(-1)?.username ?? "" })
    all.push(...page)
    if (page.length < usersPerPage) return all
  }
})

const showCommand = <R>({ config, withUsers }: Parts<R>) =>
  Command.make("show", { config, json: jsonOption, user: userArgument }, ({ config: own, json, user }) =>
    withUsers(own, (users) => Effect.flatMap(users.get(user), (details) => print(json, details, userText)))
  ).pipe(Command.withDescription("Show a user, but for the password."))

const addCommand = <R>(parts: Parts<R>) => {
  const { config, cost, password, withUsers } = parts
  return Command.make(
    "add",
    {
      config,
      user: userArgument,
      tenant: Options.text("tenant").pipe(
        Options.withDescription("The tenant that the user belongs to"),
        Options.withDefault(DEFAULT_TENANT)
      ),
      scram: scramOption,
      rule: ruleOption
    },
    Effect.fnUntraced(function* ({ config: own, rule, scram, tenant, user: username }) {
      const rules = yield* rulesOf(rule)
      const hash = yield* hashOf(yield* password, { scram, cost })
      const user = { username, tenant, password: hash, ...(rules !== undefined && { rules }) }
      yield* withUsers(own, (users) => users.add(user))
      yield* Console.log(`${username} is a user of tenant ${tenant}`)
    })
  ).pipe(Command.withDescription("Add a user. The password is asked for, or read from standard input."))
}

const setCommand = <R>(parts: Parts<R>) => {
  const { config, cost, password, withUsers } = parts
  return Command.make(
    "set",
    {
      config,
      user: userArgument,
      password: Options.boolean("password").pipe(
        Options.withDescription("Another password, besides other rules")
      ),
      scram: scramOption,
      rule: ruleOption,
      noRules: Options.boolean("no-rules").pipe(Options.withDescription("Take the rules away"))
    },
    Effect.fnUntraced(function* ({ config: own, noRules, password: isAsked, rule, scram, user }) {
      const given = yield* rulesOf(rule)
      const rules = given ?? (noRules ? null : undefined)
      const hash =
        rules === undefined || isAsked || scram ? yield* hashOf(yield* password, { scram, cost }) : undefined
      const changes = {
        ...(rules !== undefined && { rules }),
        ...(hash !== undefined && { password: hash })
      }
      yield* withUsers(own, (users) => users.edit(user, changes))
      if (hash !== undefined) yield* Console.log(`${user} has another password`)
      if (rules !== undefined) {
        yield* Console.log(rules === null ? `${user} has no rules any more` : `${user} has other rules`)
      }
    })
  ).pipe(
    Command.withDescription(
      "Give a user another password, which is asked for or read from standard input, or other rules."
    )
  )
}

const switchCommand = <R, Name extends string>(
  { config, withUsers }: Parts<R>,
  name: Name,
  isDisabled: boolean,
  description: string
) =>
  Command.make(
    name,
    { config, user: userArgument },
    Effect.fnUntraced(function* ({ config: own, user }) {
      yield* withUsers(own, (users) => users.edit(user, { isDisabled }))
      yield* Console.log(`${user} is ${name}d`)
    })
  ).pipe(Command.withDescription(description))

const deleteCommand = <R>({ config, withUsers }: Parts<R>) =>
  Command.make(
    "delete",
    { config, user: userArgument },
    Effect.fnUntraced(function* ({ config: own, user }) {
      yield* withUsers(own, (users) => users.remove(user))
      yield* Console.log(`${user} is deleted`)
    })
  ).pipe(Command.withDescription("Delete a user, and send away who is connected. Sessions are kept."))

/** Undefined when there are none. */
const rulesOf = (written: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<AclRule> | undefined, NoRule> =>
  Effect.gen(function* () {
    if (written.length === 0) return undefined
    return yield* Effect.forEach(written, ruleOf)
  })

const ruleOf = (written: string): Effect.Effect<AclRule, NoRule> =>
  Effect.gen(function* () {
    const name = JSON.stringify(written)
    const sections = yield* Effect.mapError(
      parseAcl("--rule", `${written}\n`),
      (problems) => new NoRule({ problem: `${name} ${problems[0]?.problem ?? "is no rule"}` })
    )
    const [rule, ...others] = sections.flatMap(({ rules, who }) => (who.size > 0 ? [] : rules))
    if (rule === undefined || others.length > 0)
      return yield* new NoRule({ problem: `${name} is not one rule` })
    const { source: _, template, ...plain } = rule
    if (!hasPlaceholder(template)) return plain
    return yield* new NoRule({ problem: `${name} names what only an access file can (authorization.files)` })
  })
