/** `heddle ban ...`: who is not let in, on a broker that runs. */

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
  tenant: Options.text("tenant").pipe(
    Options.withDescription("The tenant of the client or user"),
    Options.optional
  ),
  client: Options.text("client").pipe(Options.withDescription("A client identifier"), Options.optional),
  user: Options.text("user").pipe(Options.withDescription("A user, on whatever client"), Options.optional),
  address: Options.text("address").pipe(
    Options.withDescription("An address, or a network such as 192.0.2.0/24"),
    Options.optional
  )
}

type SubjectOptions = Readonly<Record<keyof typeof subjectOptions, Option.Option<string>>>

const subjectOf = (given: SubjectOptions) => ({
  tenant: Option.getOrUndefined(given.tenant),
  client: Option.getOrUndefined(given.client),
  user: Option.getOrUndefined(given.user),
  address: Option.getOrUndefined(given.address)
})

export const banCommand = <R>(target: Target<R>) =>
  Command.make("ban").pipe(
    Command.withDescription("Say who is not let in, whatever the credentials. Bans survive a restart."),
    Command.withSubcommands([addCommand(target), listCommand(target), removeCommand(target)])
  )

const addCommand = <R>({ broker, config }: Target<R>) =>
  Command.make(
    "add",
    {
      config,
      ...subjectOptions,
      reason: Options.text("reason").pipe(
        Options.withDescription("What a client of version 5 is told"),
        Options.optional
      ),
      for: Options.text("for").pipe(
        Options.withDescription("How long, such as 2h or 30d; for good without it"),
        Options.optional
      )
    },
    Effect.fnUntraced(function* ({ config: own, for: time, reason, ...given }) {
      const ask = yield* broker(own)
      const seconds = yield* Effect.transposeMapOption(time, secondsOf)
      const body = {
        ...subjectOf(given),
        reason: Option.getOrUndefined(reason),
        seconds: Option.getOrUndefined(seconds)
      }
      yield* ask({ method: "POST", path: "/bans", body }, Done)
      yield* Console.log("banned; who is connected and covered is sent away")
    })
  ).pipe(Command.withDescription("Ban a client, a user, an address or a network."))

const removeCommand = <R>({ broker, config }: Target<R>) =>
  Command.make(
    "remove",
    { config, ...subjectOptions },
    Effect.fnUntraced(function* ({ config: own, ...given }) {
      const ask = yield* broker(own)
      yield* ask({ method: "POST", path: "/bans/remove", body: subjectOf(given) }, Done)
      yield* Console.log("the ban is lifted")
    })
  ).pipe(Command.withDescription("Lift a ban."))

const Bans = Schema.Struct({
  bans: Schema.Array(
    Schema.Struct({
      subject: Schema.Union(
        Schema.TaggedStruct("Address", { network: Schema.String }),
        Schema.TaggedStruct("Client", { tenant: Schema.String, clientId: Schema.String }),
        Schema.TaggedStruct("User", { tenant: Schema.String, principal: Schema.String })
      ),
      reason: Schema.String,
      untilMs: Schema.optional(Schema.Number)
    })
  )
})

type Ban = (typeof Bans.Type)["bans"][number]

const listCommand = <R>({ broker, config }: Target<R>) =>
  Command.make(
    "list",
    { config, json: jsonOption },
    Effect.fnUntraced(function* ({ config: own, json }) {
      const ask = yield* broker(own)
      yield* print(json, yield* ask({ method: "GET", path: "/bans" }, Bans), ({ bans }) =>
        bans.length === 0
          ? "nobody is banned"
          : table(
              ["who", "until", "reason"],
              bans.map((ban) => [whoText(ban), untilText(ban), ban.reason])
            )
      )
    })
  ).pipe(Command.withDescription("List the bans in force."))

const whoText = ({ subject }: Ban): string => {
  switch (subject._tag) {
    case "Address":
      return subject.network
    case "Client":
      return `client ${subject.clientId} of ${subject.tenant}`
    case "User":
      return `user ${subject.principal} of ${subject.tenant}`
  }
}

const untilText = ({ untilMs }: Ban): string =>
  untilMs === undefined ? "for good" : new Date(untilMs).toISOString()
