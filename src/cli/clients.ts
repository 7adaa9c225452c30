/** `heddle clients`, `heddle disconnect`, `heddle purge` and `heddle explain`, on a broker that runs. */

import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { explanationText } from "../explain/Explanation.ts"
import { DEFAULT_TENANT } from "../tenant/TenantDirectory.ts"
import { Done, jsonOption, print, type Target } from "./control.ts"
import { table } from "./table.ts"

export const tenantOption = Options.text("tenant").pipe(
  Options.withDefault(DEFAULT_TENANT),
  Options.withDescription("The tenant that the client is of")
)

const Listing = Schema.Struct({
  clients: Schema.Array(
    Schema.Struct({
      tenant: Schema.String,
      clientId: Schema.String,
      principal: Schema.String,
      address: Schema.String,
      isConnected: Schema.Boolean,
      messages: Schema.Number,
      subscriptions: Schema.Number
    })
  )
})

export const clientOption = Options.text("client").pipe(Options.withDescription("The client identifier"))

export const clientsCommand = <R>({ broker, config }: Target<R>) =>
  Command.make(
    "clients",
    {
      config,
      json: jsonOption,
      tenant: Options.text("tenant").pipe(Options.withDescription("Only this tenant's"), Options.optional),
      contains: Options.text("contains").pipe(
        Options.withDescription("Only those whose client identifier holds this"),
        Options.optional
      ),
      connected: Options.boolean("connected").pipe(Options.withDescription("Only those who are connected")),
      limit: Options.integer("limit").pipe(
        Options.withDefault(100),
        Options.withDescription("How many are listed at most")
      )
    },
    Effect.fnUntraced(function* ({ config: own, connected, contains, json, limit, tenant }) {
      const ask = yield* broker(own)
      const query = {
        tenant: Option.getOrUndefined(tenant),
        contains: Option.getOrUndefined(contains),
        connected: connected ? "true" : undefined,
        limit: String(limit)
      }
      yield* print(json, yield* ask({ method: "GET", path: "/clients", query }, Listing), clientsText)
    })
  ).pipe(Command.withDescription("List clients: those who are connected, and those whose sessions are kept."))

const clientsText = ({ clients }: typeof Listing.Type): string =>
  clients.length === 0
    ? "no clients"
    : table(
        ["tenant", "client", "user", "address", "connected", "queued", "subscriptions"],
        clients.map((each) => [
          each.tenant,
          each.clientId,
          each.principal,
          each.address,
          each.isConnected ? "yes" : "no",
          String(each.messages),
          String(each.subscriptions)
        ])
      )

const clientArgument = Args.text({ name: "client" }).pipe(Args.withDescription("The client identifier"))

export const disconnectCommand = <R>({ broker, config }: Target<R>) =>
  Command.make(
    "disconnect",
    {
      config,
      tenant: tenantOption,
      reason: Options.text("reason").pipe(
        Options.withDescription("What a client of version 5 is told"),
        Options.optional
      ),
      client: clientArgument
    },
    Effect.fnUntraced(function* ({ client, config: own, reason, tenant }) {
      const ask = yield* broker(own)
      const body = { tenant, client, reason: Option.getOrUndefined(reason) }
      yield* ask({ method: "POST", path: "/clients/disconnect", body }, Done)
      yield* Console.log(`${client} is disconnected; its session is kept as long as it asked for`)
    })
  ).pipe(Command.withDescription("Close a client's connection."))

export const purgeCommand = <R>({ broker, config }: Target<R>) =>
  Command.make(
    "purge",
    {
      config,
      tenant: tenantOption,
      suppress: Options.boolean("no-will").pipe(Options.withDescription("Do not publish its will")),
      client: clientArgument
    },
    Effect.fnUntraced(function* ({ client, config: own, suppress, tenant }) {
      const ask = yield* broker(own)
      const body = { tenant, client, will: suppress ? "suppress" : "publish" }
      yield* ask({ method: "POST", path: "/clients/purge", body }, Done)
      yield* Console.log(`the session of ${client} is deleted`)
    })
  ).pipe(Command.withDescription("Delete a client's session and all that waits for it."))

const Explained = Schema.Struct({
  question: Schema.Struct({
    tenant: Schema.String,
    clientId: Schema.String,
    action: Schema.Literal("connect", "publish", "subscribe", "receive"),
    topic: Schema.String,
    qos: Schema.Literal(0, 1, 2),
    retain: Schema.Boolean
  }),
  verdict: Schema.Literal("yes", "no", "unknown"),
  steps: Schema.Array(
    Schema.Struct({
      step: Schema.String,
      finding: Schema.Literal("yes", "no", "note", "unknown"),
      detail: Schema.String
    })
  )
})

export const explainCommand = <R>({ broker, config }: Target<R>) =>
  Command.make(
    "explain",
    {
      config,
      json: jsonOption,
      tenant: tenantOption,
      client: clientOption,
      qos: Options.choice("qos", ["0", "1", "2"]).pipe(
        Options.withDefault("0"),
        Options.withDescription("Of the message or the subscription")
      ),
      retain: Options.boolean("retain").pipe(Options.withDescription("The message is to be retained")),
      action: Args.choice([
        ["connect", "connect"],
        ["publish", "publish"],
        ["subscribe", "subscribe"],
        ["receive", "receive"]
      ]).pipe(Args.withDescription("What the client wants to do")),
      topic: Args.text({ name: "topic" }).pipe(
        Args.withDescription("The topic, or the filter of a subscription"),
        Args.withDefault("")
      )
    },
    Effect.fnUntraced(function* ({ action, client, config: own, json, qos, retain, tenant, topic }) {
      const ask = yield* broker(own)
      const query = { tenant, client, action, topic, qos, retain: String(retain) }
      yield* print(json, yield* ask({ method: "GET", path: "/explain", query }, Explained), explanationText)
    })
  ).pipe(
    Command.withDescription(
      "Say, step by step and from live state, what a broker does about a client's action, and why."
    )
  )
