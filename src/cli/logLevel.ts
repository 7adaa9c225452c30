/** `heddle log level`: how much a broker that runs writes to its log. */

import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Target } from "./control.ts"
import { logLevelNames } from "./log.ts"

export const logCommand = <R>(target: Target<R>) =>
  Command.make("log").pipe(
    Command.withDescription("The log of the broker."),
    Command.withSubcommands([levelCommand(target)])
  )

const Answer = Schema.Struct({ level: Schema.String })

const levelCommand = <R>({ broker, config }: Target<R>) =>
  Command.make(
    "level",
    {
      config,
      level: Args.choice(logLevelNames.map((level) => [level, level] as const)).pipe(
        Args.withDescription("The least severe message that is logged from now on"),
        Args.optional
      )
    },
    Effect.fnUntraced(function* ({ config: own, level }) {
      const ask = yield* broker(own)
      const call = Option.match(level, {
        onNone: () => ({ method: "GET", path: "/log" }) as const,
        onSome: (wanted) => ({ method: "POST", path: "/log", body: { level: wanted } }) as const
      })
      yield* Console.log((yield* ask(call, Answer)).level)
    })
  ).pipe(
    Command.withDescription(
      "Say how much is logged, or change it until a configuration that says otherwise is read."
    )
  )
