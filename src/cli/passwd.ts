/**
 * `heddle passwd FILE USER`: sets or deletes one user's line in a password file.
 *
 * The password comes from the terminal, asked for twice, or as the first line of standard input, never from
 * the arguments, where everybody on the machine could see it. The file is replaced in one step, so that a
 * broker that reads it meanwhile sees it before or after, and only its owner may read a new one.
 */

import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Prompt from "@effect/cli/Prompt"
import * as FileSystem from "@effect/platform/FileSystem"
import type * as Terminal from "@effect/platform/Terminal"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { parsePasswordFile, problemOfName, withoutUser, withUser } from "../auth/password/PasswordFile.ts"
import { defaultHashCost, type HashCost, hashPassword, scramHash } from "../auth/password/PasswordHash.ts"
import { DEFAULT_TENANT } from "../tenant/TenantDirectory.ts"

/** A user cannot be set or deleted. Told to the person at the terminal. */
export class PasswdRefused extends Data.TaggedError("PasswdRefused")<{ readonly reason: string }> {
  override get message(): string {
    return this.reason
  }
}

export interface PasswdOptions {
  readonly password: Effect.Effect<Redacted.Redacted, unknown, Terminal.Terminal>
  readonly cost: HashCost
}

export const passwordFromPerson: PasswdOptions["password"] = Effect.suspend(() =>
  process.stdin.isTTY === true ? askTwice : firstLineOfInput
)

export const passwdCommand = ({
  cost = defaultHashCost,
  password = passwordFromPerson
}: Partial<PasswdOptions> = {}) =>
  Command.make(
    "passwd",
    {
      file: Args.path({ name: "file" }).pipe(
        Args.withDescription("The password file; made if it is not there")
      ),
      user: Args.text({ name: "user" }),
      tenant: Options.text("tenant").pipe(
        Options.withDescription("The tenant that the user belongs to"),
        Options.optional
      ),
      scram: Options.boolean("scram").pipe(
        Options.withDescription("Keep what SCRAM-SHA-256 needs, which serves a plain password as well")
      ),
      delete: Options.boolean("delete").pipe(Options.withDescription("Delete the user"))
    },
    Effect.fnUntraced(function* ({ delete: isDeletion, file, scram, tenant, user }) {
      const tenantName = Option.getOrElse(tenant, () => DEFAULT_TENANT)
      const wrong = problemOfName("user", user) ?? problemOfName("tenant", tenantName)
      if (wrong !== undefined) return yield* new PasswdRefused({ reason: wrong })
      const text = yield* textOf(file)
      if (isDeletion) {
        const rest = withoutUser(text, user)
        if (rest === undefined) return yield* new PasswdRefused({ reason: `${file} holds no user ${user}` })
        yield* replace(file, rest)
        return yield* Console.log(`${file}: ${user} is deleted`)
      }
      const hash = yield* hashOf(yield* password, { scram, cost })
      yield* replace(file, withUser(text, { username: user, tenant: tenantName, hash }))
      yield* Console.log(`${file}: the password of ${user} in tenant ${tenantName} is set`)
    })
  ).pipe(
    Command.withDescription(
      "Set a user's password in a password file, or delete the user. The password is asked for, or read " +
        "from standard input."
    )
  )

const textOf = Effect.fnUntraced(function* (file: string) {
  const files = yield* FileSystem.FileSystem
  if (!(yield* files.exists(file))) return ""
  const text = yield* files.readFileString(file)
  const problem = text === "" ? undefined : Either.getOrUndefined(Either.flip(parsePasswordFile(text)))
  return problem === undefined ? text : yield* new PasswdRefused({ reason: `${file} ${problem}` })
})

const replace = Effect.fnUntraced(function* (file: string, text: string) {
  const files = yield* FileSystem.FileSystem
  // A link stays a link: what it leads to is replaced.
  const target = (yield* files.exists(file)) ? yield* files.realPath(file) : file
  const mode = target === file || (yield* files.exists(target)) ? yield* modeOf(target) : 0o600
  const next = `${target}.${crypto.randomUUID()}`
  yield* files.writeFileString(next, text, { mode: 0o600, flag: "wx" })
  yield* Effect.zipRight(files.chmod(next, mode), files.rename(next, target)).pipe(
    Effect.onError(() => Effect.orElseSucceed(files.remove(next), () => undefined))
  )
})

const modeOf = (file: string): Effect.Effect<number, never, FileSystem.FileSystem> =>
  Effect.flatMap(FileSystem.FileSystem, (files) =>
    files.stat(file).pipe(
      Effect.map(({ mode }) => mode & 0o777),
      Effect.orElseSucceed(() => 0o600)
    )
  )

/** What is to be kept of a password. */
export const hashOf = Effect.fnUntraced(function* (
  secret: Redacted.Redacted,
  { cost, scram }: { readonly cost: HashCost; readonly scram: boolean }
) {
  const text = Redacted.value(secret)
  if (text === "") return yield* new PasswdRefused({ reason: "the password is empty" })
  if (!scram) return yield* Effect.promise(() => hashPassword(text, cost))
  // SASLprep (RFC 4013) leaves these as they are; of the rest we cannot say what a client makes.
  if (!/^[\x20-\x7e]+$/.test(text)) {
    return yield* new PasswdRefused({ reason: "a password for SCRAM is made of printable ASCII characters" })
  }
  return yield* Effect.promise(() => scramHash(Buffer.from(text), cost))
})

const askTwice = Effect.gen(function* () {
  const first = yield* Prompt.password({ message: "Password" })
  const second = yield* Prompt.password({ message: "Once more" })
  if (Redacted.value(first) === Redacted.value(second)) return first
  return yield* new PasswdRefused({ reason: "these are two different passwords" })
})

const firstLineOfInput = Effect.promise(async () => {
  const [line = ""] = (await Bun.stdin.text()).split(/\r?\n/)
  return Redacted.make(line)
})
