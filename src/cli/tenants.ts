/** `heddle tenants ...`: the life of tenants, on a broker that runs. */

import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Clock from "effect/Clock"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { monthStartMs } from "../tenant/quota/Windows.ts"
import { type ControlCall, jsonOption, print, type Target } from "./control.ts"
import {
  RemovedTenant,
  removedText,
  TenantDetails,
  TenantList,
  tenantsText,
  tenantText,
  Usage,
  usageText
} from "./tenantsText.ts"
import { instantOf } from "./usage.ts"

/** A setting on the command line is not NAME=VALUE. Told to the person at the terminal. */
class NoSetting extends Data.TaggedError("NoSetting")<{ readonly given: string }> {
  override get message(): string {
    return `${this.given} is no setting: expected NAME=VALUE, or NAME= for what every tenant has`
  }
}

const tenantArgument = Args.text({ name: "tenant" })

const pathOf = (tenant: string, rest = ""): string => `/tenants/${encodeURIComponent(tenant)}${rest}`

export const tenantsCommand = <R>(target: Target<R>) =>
  Command.make("tenants").pipe(
    Command.withDescription("Look after the tenants of a broker that runs."),
    Command.withSubcommands([
      listCommand(target),
      showCommand(target),
      createCommand(target),
      setCommand(target),
      stateCommand(target, "suspend", "Let nobody of a tenant in, and send away who is there. All is kept."),
      stateCommand(target, "resume", "Serve a tenant again."),
      stateCommand(
        target,
        "drain",
        "Let nobody of a tenant in, and send away who is there, one after another."
      ),
      usageCommand(target),
      deleteCommand(target)
    ])
  )

const listCommand = <R>({ broker, config }: Target<R>) =>
  Command.make(
    "list",
    { config, json: jsonOption },
    Effect.fnUntraced(function* ({ config: own, json }) {
      const ask = yield* broker(own)
      yield* print(json, yield* ask({ method: "GET", path: "/tenants" }, TenantList), tenantsText)
    })
  ).pipe(Command.withDescription("List the tenants that are configured, stored, or have clients."))

const showCommand = <R>({ broker, config }: Target<R>) =>
  Command.make(
    "show",
    { config, json: jsonOption, tenant: tenantArgument },
    Effect.fnUntraced(function* ({ config: own, json, tenant }) {
      const ask = yield* broker(own)
      yield* print(json, yield* ask({ method: "GET", path: pathOf(tenant) }, TenantDetails), tenantText)
    })
  ).pipe(
    Command.withDescription("Show a tenant: its state, what it holds, what it is granted, what it counts.")
  )

const settingsArgument = Args.text({ name: "NAME=VALUE" }).pipe(
  Args.withDescription("A setting as the configuration says it; `NAME=` is what every tenant has")
)

const createCommand = <R>({ broker, config }: Target<R>) =>
  Command.make(
    "create",
    { config, tenant: tenantArgument, settings: Args.repeated(settingsArgument) },
    Effect.fnUntraced(function* ({ config: own, settings, tenant }) {
      const ask = yield* broker(own)
      const body = { tenant, settings: yield* changesOf(settings) }
      yield* ask({ method: "POST", path: "/tenants", body }, TenantDetails)
      yield* Console.log(`${tenant} is made`)
    })
  ).pipe(Command.withDescription("Make a tenant, with settings of its own where they are given."))

const setCommand = <R>({ broker, config }: Target<R>) =>
  Command.make(
    "set",
    { config, tenant: tenantArgument, settings: Args.atLeast(settingsArgument, 1) },
    Effect.fnUntraced(function* ({ config: own, settings, tenant }) {
      const ask = yield* broker(own)
      const changes = yield* changesOf(settings)
      const call: ControlCall = { method: "PATCH", path: pathOf(tenant), body: { settings: changes } }
      const changed = yield* ask(call, TenantDetails)
      for (const name of Object.keys(changes))
        yield* Console.log(`${name}: ${String(changed.settings[name])}`)
    })
  ).pipe(
    Command.withDescription(
      "Change settings of a tenant, for those who are connected as far as MQTT allows it."
    )
  )

const stateCommand = <R>({ broker, config }: Target<R>, name: string, description: string) =>
  Command.make(
    name,
    { config, tenant: tenantArgument },
    Effect.fnUntraced(function* ({ config: own, tenant }) {
      const ask = yield* broker(own)
      const { state } = yield* ask({ method: "POST", path: pathOf(tenant, `/${name}`) }, TenantDetails)
      yield* Console.log(`${tenant} is ${state}`)
    })
  ).pipe(Command.withDescription(description))

const usageCommand = <R>({ broker, config }: Target<R>) =>
  Command.make(
    "usage",
    {
      config,
      json: jsonOption,
      since: Options.text("since").pipe(
        Options.withDescription("From then on: 2026-11-01, or 7d for seven days ago; else this month"),
        Options.optional
      ),
      tenant: tenantArgument
    },
    Effect.fnUntraced(function* ({ config: own, json, since, tenant }) {
      const ask = yield* broker(own)
      const nowMs = yield* Clock.currentTimeMillis
      const fromMs = yield* Option.match(since, {
        onNone: () => Effect.succeed(monthStartMs(nowMs)),
        onSome: (text) => instantOf(text, nowMs)
      })
      const query = { since: String(fromMs) }
      yield* print(
        json,
        yield* ask({ method: "GET", path: pathOf(tenant, "/usage"), query }, Usage),
        usageText
      )
    })
  ).pipe(
    Command.withDescription(
      "Show what a tenant has used, until now, and what is left of its days and months."
    )
  )

/** A deletion was not confirmed. Told to the person at the terminal. */
class Unconfirmed extends Data.TaggedError("Unconfirmed")<{ readonly tenant: string }> {
  override get message(): string {
    return `deleting ${this.tenant} cannot be undone: say --yes if that is what you want`
  }
}

const deleteCommand = <R>({ broker, config }: Target<R>) =>
  Command.make(
    "delete",
    {
      config,
      tenant: tenantArgument,
      yes: Options.boolean("yes").pipe(Options.withDescription("It cannot be undone: say that you know")),
      usage: Options.boolean("with-usage").pipe(
        Options.withDescription("Delete the tenant's rows of the usage ledger, too")
      )
    },
    Effect.fnUntraced(function* ({ config: own, tenant, usage, yes }) {
      const ask = yield* broker(own)
      if (!yes) return yield* new Unconfirmed({ tenant })
      const query = { usage: usage ? "purge" : "keep" }
      const { removed } = yield* ask({ method: "DELETE", path: pathOf(tenant), query }, RemovedTenant)
      yield* Console.log(removedText(tenant, removed))
    })
  ).pipe(
    Command.withDescription(
      "Delete a tenant and all that it holds: sessions, subscriptions, messages, users. No will is published."
    )
  )

/** Values are what YAML makes of them: `10` is a number, `1MB` a text, `true` a truth. */
const changesOf = (
  settings: ReadonlyArray<string>
): Effect.Effect<Readonly<Record<string, unknown>>, NoSetting> =>
  Effect.gen(function* () {
    const changes = new Map<string, unknown>()
    for (const given of settings) {
      const at = given.indexOf("=")
      if (at < 1) return yield* new NoSetting({ given })
      const text = given.slice(at + 1)
      changes.set(given.slice(0, at), text === "" ? null : yield* valueOf(given, text))
    }
    return Object.fromEntries(changes)
  })

const Scalar = Schema.Union(Schema.String, Schema.Number, Schema.Boolean)

const valueOf = (given: string, text: string): Effect.Effect<unknown, NoSetting> =>
  Effect.mapError(
    Effect.flatMap(
      Effect.try(() => Bun.YAML.parse(text) as unknown),
      Schema.decodeUnknown(Scalar)
    ),
    () => new NoSetting({ given })
  )
