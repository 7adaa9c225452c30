/**
 * The commands that look after the database: `heddle backup`, `heddle restore`, `heddle db check` and
 * `heddle db stats`. They take the broker's configuration, which says where the database is.
 */

import { join } from "node:path"
import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type { Config, ConfigError } from "../config/Config.ts"
import { backupDatabase } from "../storage/sqlite/maintenance/backup.ts"
import { checkDatabase } from "../storage/sqlite/maintenance/check.ts"
import { restoreDatabase } from "../storage/sqlite/maintenance/restore.ts"
import { databaseStats } from "../storage/sqlite/maintenance/stats.ts"
import { databaseName } from "../storage/sqlite.ts"
import { backupText, checkText, restoredText, statsText } from "./databaseText.ts"

/** The configuration keeps everything in memory. Told to whoever asked for the database. */
export class NoDatabase extends Data.TaggedError("NoDatabase") {
  override get message(): string {
    return "there is no database: storage.kind is memory in the configuration"
  }
}

/** `heddle db check` has found something, and has printed what. */
export class DatabaseUnsound extends Data.TaggedError("DatabaseUnsound")<{
  readonly database: string
  readonly problems: number
}> {
  override get message(): string {
    return `${this.database} has ${this.problems === 1 ? "a problem" : `${this.problems} problems`}`
  }
}

/** How a command comes by its configuration. */
export interface ConfigAccess<R> {
  readonly option: Options.Options<Option.Option<string>>
  /** `file` is what the option of the command itself says. */
  readonly load: (file: Option.Option<string>) => Effect.Effect<Config, ConfigError, R>
}

/** The database that a command is about. */
interface Target<R> {
  readonly config: Options.Options<Option.Option<string>>
  readonly find: (config: Option.Option<string>) => Effect.Effect<string, ConfigError | NoDatabase, R>
}

export const databaseCommands = <R>({ load, option }: ConfigAccess<R>) => {
  const target: Target<R> = {
    config: option,
    find: (file) =>
      Effect.flatMap(load(file), ({ storage }) =>
        storage.kind === "memory"
          ? Effect.fail(new NoDatabase())
          : Effect.succeed(join(storage.path, databaseName))
      )
  }
  return [backupCommand(target), restoreCommand(target), dbCommand(target)] as const
}

const backupCommand = <R>({ config, find }: Target<R>) =>
  Command.make(
    "backup",
    {
      config,
      force: Options.boolean("force").pipe(Options.withDescription("Replace the file if it is there")),
      file: Args.file({ name: "file" }).pipe(Args.withDescription("The file to write"))
    },
    Effect.fnUntraced(function* ({ config: own, file, force }) {
      const database = yield* find(own)
      const made = yield* backupDatabase({ database, backup: file, isForced: force })
      yield* Console.log(backupText(file, made))
    })
  ).pipe(
    Command.withDescription("Copy the database as it is at one moment into a file. A broker may be running.")
  )

const restoreCommand = <R>({ config, find }: Target<R>) =>
  Command.make(
    "restore",
    { config, file: Args.file({ name: "file" }).pipe(Args.withDescription("What `heddle backup` wrote")) },
    Effect.fnUntraced(function* ({ config: own, file }) {
      const database = yield* find(own)
      const restored = yield* restoreDatabase({ backup: file, database })
      yield* Console.log(restoredText(database, file, restored))
    })
  ).pipe(
    Command.withDescription(
      "Put a backup in the place of the database, which is kept beside it. The broker must not be running."
    )
  )

const dbCommand = <R>({ config, find }: Target<R>) => {
  const check = Command.make(
    "check",
    { config },
    Effect.fnUntraced(function* ({ config: own }) {
      const database = yield* find(own)
      const checkup = yield* checkDatabase(database)
      yield* Console.log(checkText(database, checkup))
      const problems = checkup.problems.length
      if (problems > 0) return yield* new DatabaseUnsound({ database, problems })
    })
  ).pipe(
    Command.withDescription(
      "Read the whole database, print every problem and what to do, and end with code 1 if there is one. " +
        "A broker may be running."
    )
  )
  const stats = Command.make(
    "stats",
    { config, json: Options.boolean("json").pipe(Options.withDescription("Print JSON")) },
    Effect.fnUntraced(function* ({ config: own, json }) {
      const database = yield* find(own)
      const found = yield* databaseStats(database)
      yield* Console.log(json ? JSON.stringify(found, null, 2) : statsText(database, found))
    })
  ).pipe(
    Command.withDescription(
      "Print what the database holds, who holds most of it, and what it takes on the disk. " +
        "A broker may be running."
    )
  )
  return Command.make("db").pipe(
    Command.withDescription("Look into the database."),
    Command.withSubcommands([check, stats])
  )
}
