/**
 * The way of the command line to a broker that runs: its control socket, which the configuration names.
 * `heddle reload`, and what the commands of tenants, clients and bans are made of.
 */

import { join } from "node:path"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Config, ConfigError } from "../config/Config.ts"
import { AdministrationError } from "../control/AdministrationError.ts"
import type { ConfigAccess } from "./database.ts"

/** Nobody answers at the control socket. Told to the person at the terminal. */
export class BrokerUnreachable extends Data.TaggedError("BrokerUnreachable")<{ readonly reason: string }> {
  override get message(): string {
    return this.reason
  }
}

export const socketName = "heddle.sock"

/** Where a broker of that configuration has its control socket; undefined when it has none. */
export const controlPath = ({
  control,
  storage
}: Pick<Config, "control" | "storage">): string | undefined => {
  if (control.path === "off") return undefined
  if (control.path !== "") return control.path
  return storage.kind === "memory" ? undefined : join(storage.path, socketName)
}

export interface ControlCall {
  readonly method: "GET" | "POST" | "PATCH" | "DELETE"
  /** Of each part of it, what may be anything has been through `encodeURIComponent`. */
  readonly path: string
  readonly query?: Readonly<Record<string, string | undefined>>
  readonly body?: unknown
}

const Refusal = Schema.Struct({ error: Schema.Struct(AdministrationError.fields).pipe(Schema.omit("_tag")) })

/** Asks a broker, and takes its answer as the schema says it. */
export const callControl = <A, I>(
  path: string,
  call: ControlCall,
  answer: Schema.Schema<A, I>
): Effect.Effect<A, BrokerUnreachable | AdministrationError> =>
  Effect.gen(function* () {
    const { isOk, value } = yield* Effect.tryPromise({
      try: () => send(path, call),
      catch: (cause) => unreachable(path, cause)
    })
    if (!isOk) yield* refusalIn(value)
    return yield* Effect.mapError(
      Schema.decodeUnknown(answer)(value),
      () => new BrokerUnreachable({ reason: `${path}: what answers there is no broker of this version` })
    )
  })

/** Fails with what the broker has to say against it, if that is what it says. */
export const refusalIn = (value: unknown): Effect.Effect<void, AdministrationError> => {
  const refusal = Schema.decodeUnknownEither(Refusal)(value)
  return Either.isRight(refusal) ? told(refusal.right.error) : Effect.void
}

/** What is wrong in particular stands below what is wrong. */
export const told = ({ code, message, problems }: (typeof Refusal.Type)["error"]): AdministrationError => {
  const list = problems.map((problem) => `\n  ${problem.key}: ${problem.message}`)
  return new AdministrationError({ code, message: `${message}${list.join("")}`, problems })
}

const send = async (path: string, call: ControlCall) => {
  const { body, method } = call
  const response = await fetch(urlOf(call), {
    unix: path,
    method,
    ...(body !== undefined && { body: JSON.stringify(body) })
  })
  return { isOk: response.ok, value: (await response.json()) as unknown }
}

/** On the socket the host does not matter. */
export const urlOf = ({ path, query = {} }: ControlCall): string => {
  const given = Object.entries(query).filter((entry): entry is [string, string] => entry[1] !== undefined)
  return `http://heddle${path}${given.length === 0 ? "" : `?${new URLSearchParams(given)}`}`
}

export const unreachable = (path: string, cause: unknown): BrokerUnreachable => {
  const code = cause instanceof Error && "code" in cause ? cause.code : ""
  const reason =
    code === "EACCES" || code === "EPERM"
      ? `${path}: the broker runs as another user`
      : `no broker runs here: nothing answers at ${path}. ` +
        "Start one with `heddle`, or name the configuration of the one you mean with --config"
  return new BrokerUnreachable({ reason })
}

/** A way to ask the broker of a configuration. */
export type Ask = <A, I>(
  call: ControlCall,
  answer: Schema.Schema<A, I>
) => Effect.Effect<A, BrokerUnreachable | AdministrationError>

/** What every command that asks a broker begins with. */
export interface Target<R> {
  readonly config: Options.Options<Option.Option<string>>
  readonly broker: (config: Option.Option<string>) => Effect.Effect<Ask, ConfigError | BrokerUnreachable, R>
}

export interface SocketTarget<R> extends Target<R> {
  /** The path of its control socket. */
  readonly socket: (
    config: Option.Option<string>
  ) => Effect.Effect<string, ConfigError | BrokerUnreachable, R>
}

export const targetOf = <R>({ load, option }: ConfigAccess<R>): SocketTarget<R> => {
  const socket = (file: Option.Option<string>) =>
    Effect.flatMap(load(file), (config) => {
      const path = controlPath(config)
      if (path !== undefined) return Effect.succeed(path)
      const reason = "a broker of this configuration has no control socket: name one with control.path"
      return new BrokerUnreachable({ reason })
    })
  return {
    config: option,
    socket,
    broker: (file) =>
      Effect.map(
        socket(file),
        (path): Ask =>
          (call, answer) =>
            callControl(path, call, answer)
      )
  }
}

/** The answer of a route that has nothing to tell. */
export const Done = Schema.Struct({})

export const jsonOption = Options.boolean("json").pipe(Options.withDescription("Print JSON"))

/** The answer as JSON, or as the text says it. */
export const print = <A>(isJson: boolean, value: A, text: (value: A) => string): Effect.Effect<void> =>
  Console.log(isJson ? JSON.stringify(value, null, 2) : text(value))

const Reloaded = Schema.Struct({ text: Schema.String })

export const reloadCommand = <R>({ broker, config }: Target<R>) =>
  Command.make(
    "reload",
    { config },
    Effect.fnUntraced(function* ({ config: own }) {
      const ask = yield* broker(own)
      const { text } = yield* ask({ method: "POST", path: "/reload" }, Reloaded)
      yield* Console.log(text)
    })
  ).pipe(
    Command.withDescription("Have the broker read its configuration again. What cannot be used is refused.")
  )
