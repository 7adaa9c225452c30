/** `heddle sample ...`: which messages a broker that runs traces, for a while. */

import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Done, jsonOption, print, type Target } from "./control.ts"
import { secondsOf } from "./duration.ts"
import { table } from "./table.ts"

const subjectOptions = {
  tenant: Options.text("tenant").pipe(Options.withDescription("Of this tenant"), Options.optional),
  client: Options.text("client").pipe(
    Options.withDescription("Published by this client identifier"),
    Options.optional
  ),
  topic: Options.text("topic").pipe(
    Options.withDescription("To topics that this filter matches"),
    Options.optional
  )
}

type SubjectOptions = Readonly<Record<keyof typeof subjectOptions, Option.Option<string>>>

const subjectOf = ({ client, tenant, topic }: SubjectOptions) => ({
  tenant: Option.getOrUndefined(tenant),
  clientId: Option.getOrUndefined(client),
  topicFilter: Option.getOrUndefined(topic)
})

export const sampleCommand = <R>(target: Target<R>) =>
  Command.make("sample").pipe(
    Command.withDescription(
      "Say which messages are traced, of a tenant, a client or a topic, without touching the configuration."
    ),
    Command.withSubcommands([setCommand(target), listCommand(target), clearCommand(target)])
  )

const setCommand = <R>({ broker, config }: Target<R>) =>
  Command.make(
    "set",
    {
      config,
      ...subjectOptions,
      ratio: Options.float("ratio").pipe(
        Options.withDefault(1),
        Options.withDescription("Of these messages, from 0 (none) to 1 (all)")
      ),
      for: Options.text("for").pipe(
        Options.withDefault("10m"),
        Options.withDescription("How long, such as 90s or 2h")
      )
    },
    Effect.fnUntraced(function* ({ config: own, for: time, ratio, ...given }) {
      const ask = yield* broker(own)
      const seconds = yield* secondsOf(time)
      const body = { ...subjectOf(given), ratio, seconds }
      yield* ask({ method: "POST", path: "/sampling", body }, Done)
      yield* Console.log(`${percent(ratio)} of them are traced for ${time}`)
    })
  ).pipe(
    Command.withDescription(
      "Trace a share of some messages for a while. The latest rule that applies decides."
    )
  )

const Rules = Schema.Struct({
  rules: Schema.Array(
    Schema.Struct({
      tenant: Schema.optional(Schema.String),
      clientId: Schema.optional(Schema.String),
      topicFilter: Schema.optional(Schema.String),
      ratio: Schema.Number,
      untilMs: Schema.optional(Schema.Number)
    })
  )
})

const listCommand = <R>({ broker, config }: Target<R>) =>
  Command.make(
    "list",
    { config, json: jsonOption },
    Effect.fnUntraced(function* ({ config: own, json }) {
      const ask = yield* broker(own)
      yield* print(json, yield* ask({ method: "GET", path: "/sampling" }, Rules), rulesText)
    })
  ).pipe(Command.withDescription("List the rules in force, in the order in which they decide."))

const rulesText = ({ rules }: typeof Rules.Type): string =>
  rules.length === 0
    ? "there are no rules: tracing.ratio decides"
    : table(
        ["tenant", "client", "topic", "traced", "until"],
        rules.map(({ clientId = "any", ratio, tenant = "any", topicFilter = "any", untilMs }) => [
          tenant,
          clientId,
          topicFilter,
          percent(ratio),
          untilMs === undefined ? "for good" : new Date(untilMs).toISOString()
        ])
      )

const percent = (ratio: number): string => `${Number((ratio * 100).toPrecision(6))} %`

const Removed = Schema.Struct({ removed: Schema.Number })

const clearCommand = <R>({ broker, config }: Target<R>) =>
  Command.make(
    "clear",
    { config, ...subjectOptions },
    Effect.fnUntraced(function* ({ config: own, ...given }) {
      const ask = yield* broker(own)
      const call = { method: "POST", path: "/sampling/remove", body: subjectOf(given) } as const
      const { removed } = yield* ask(call, Removed)
      yield* Console.log(removed === 1 ? "1 rule is gone" : `${removed} rules are gone`)
    })
  ).pipe(Command.withDescription("Remove the rule about exactly that; without options, every rule."))
