/**
 * Access rules in files: some that are named, and all `*.acl` of a directory in the order of their names. The
 * order of the files is the order of the rules.
 *
 * They are read again when one changes, all together: rules come into force as a whole, and only if there is
 * nothing wrong with any of them. Until then, and as long as one cannot be read, the last good ones hold. At
 * the start they must be good. Files without rules allow nothing.
 */

import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as PubSub from "effect/PubSub"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Acl } from "../Acl.ts"
import type { Authorizer, PermissionsChanged } from "../Authorizer.ts"
import { both } from "../both.ts"
import { AuthFileUnusable, stampOf, unreadable, watched } from "../WatchedFile.ts"
import { type Problem, parseAcl, type Section, textOfProblem } from "./AclText.ts"
import { tenantsThatDiffer } from "./difference.ts"
import { RuleBook } from "./RuleBook.ts"

export interface AclFilesOptions {
  readonly files: ReadonlyArray<string>
  /** "" for none. */
  readonly directory: string
  readonly every?: Duration.DurationInput
}

type Access = FileSystem.FileSystem | Path.Path

/** Judges by the rules of files; where a client's credentials have rules as well, both must allow. */
export const aclAuthorizer = (
  options: AclFilesOptions
): Effect.Effect<Authorizer["Type"], AuthFileUnusable, Access | Scope.Scope> =>
  Effect.gen(function* () {
    const changes = yield* PubSub.sliding<PermissionsChanged>(CHANGES_KEPT)
    const book = yield* watched<RuleBook, Access>({
      name: [...options.files, ...(options.directory === "" ? [] : [options.directory])].join(", "),
      stamp: stampOfAll(options),
      read: Effect.map(readAll(options), (sections) => new RuleBook(sections)),
      every: options.every,
      isSettled: true,
      changed: (now, before) => PubSub.publishAll(changes, tenantsThatDiffer(before.sections, now.sections))
    })
    return {
      permissions: (identity) => {
        const written = book.current().permissionsOf(identity)
        const { rules } = identity
        return Effect.succeed(rules === undefined ? written : both(written, new Acl(rules)))
      },
      changes: Stream.fromPubSub(changes)
    }
  })

/** A change that is lost is one of a tenant whose permissions change faster than they can be judged by. */
const CHANGES_KEPT = 1024
const FILES_MAX = 10_000
const CONCURRENCY = 16

/** The files in the order of their rules. */
const pathsOf = ({
  directory,
  files
}: AclFilesOptions): Effect.Effect<ReadonlyArray<string>, AuthFileUnusable, Access> =>
  Effect.gen(function* () {
    if (directory === "") return files
    const system = yield* FileSystem.FileSystem
    const { join } = yield* Path.Path
    const names = yield* Effect.mapError(
      system.readDirectory(directory),
      () => new AuthFileUnusable({ path: directory, problem: unreadable })
    )
    const found = names.filter((name) => name.endsWith(".acl") && !name.startsWith(".")).sort()
    if (found.length > FILES_MAX) {
      return yield* new AuthFileUnusable({ path: directory, problem: `has more than ${FILES_MAX} files` })
    }
    return [...files, ...found.map((name) => join(directory, name))]
  })

const stampOfAll = (options: AclFilesOptions): Effect.Effect<string, AuthFileUnusable, Access> =>
  Effect.flatMap(pathsOf(options), (paths) =>
    Effect.map(
      Effect.forEach(paths, (path) => Effect.map(stampOf(path), (stamp) => `${path} ${stamp}`), {
        concurrency: CONCURRENCY
      }),
      (stamps) => stamps.join("\n")
    )
  )

const readAll = (options: AclFilesOptions): Effect.Effect<ReadonlyArray<Section>, AuthFileUnusable, Access> =>
  Effect.flatMap(pathsOf(options), (paths) =>
    Effect.map(Effect.forEach(paths, readOne, { concurrency: CONCURRENCY }), (files) => files.flat())
  )

const readOne = (
  path: string
): Effect.Effect<ReadonlyArray<Section>, AuthFileUnusable, FileSystem.FileSystem> =>
  Effect.flatMap(readAclFile(path), (read) =>
    Either.isRight(read)
      ? Effect.succeed(read.right)
      : Effect.fail(new AuthFileUnusable({ path, problem: summaryOf(read.left) }))
  )

/** A file's rules, or all that is wrong with it. Fails when it cannot be read. */
export const readAclFile = (
  path: string
): Effect.Effect<
  Either.Either<ReadonlyArray<Section>, ReadonlyArray<Problem>>,
  AuthFileUnusable,
  FileSystem.FileSystem
> =>
  Effect.gen(function* () {
    const system = yield* FileSystem.FileSystem
    const text = yield* Effect.mapError(
      system.readFileString(path),
      () => new AuthFileUnusable({ path, problem: unreadable })
    )
    return parseAcl(path, text)
  })

const PROBLEMS_TOLD = 3

const summaryOf = (problems: ReadonlyArray<Problem>): string => {
  const told = problems.slice(0, PROBLEMS_TOLD).map(textOfProblem)
  const rest = problems.length - told.length
  return `has mistakes: ${told.join("; ")}${rest > 0 ? `; and ${rest} more` : ""}`
}
