/**
 * A file that is read again when it changes: users, keys.
 *
 * The file must be sound when the broker starts. Later, one that cannot be read or does not parse (it may be
 * half written, or gone for a moment) changes nothing: the last good content stays, and the log says so once.
 */

import * as FileSystem from "@effect/platform/FileSystem"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Either from "effect/Either"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"

/**
 * A file that authentication needs cannot be used. At the start the broker does not start; later it is
 * logged.
 */
export class AuthFileUnusable extends Data.TaggedError("AuthFileUnusable")<{
  readonly path: string
  /** What is wrong with it; reads on after the path. */
  readonly problem: string
}> {
  override get message(): string {
    return `${this.path} ${this.problem}`
  }
}

export interface WatchedFile<A> {
  /** The last good content. */
  readonly current: () => A
}

export interface WatchedFileOptions<A> {
  readonly path: string
  /** What the text means, or what is wrong with it. */
  readonly parse: (text: string) => Either.Either<A, string> | Effect.Effect<A, string>
  readonly every?: Duration.DurationInput
}

/** Looking at a file's times costs some ten microseconds. */
const LOOK_EVERY = Duration.seconds(1)

/** Reads the file, and again when it has changed, as long as the scope is open. */
export const watchedFile = <A>(
  options: WatchedFileOptions<A>
): Effect.Effect<WatchedFile<A>, AuthFileUnusable, FileSystem.FileSystem | Scope.Scope> =>
  watched({ name: options.path, stamp: stampOf(options.path), read: read(options), every: options.every })

export interface WatchedOptions<A, R> {
  /** For the log. */
  readonly name: string
  /** Is another when the content may be. */
  readonly stamp: Effect.Effect<string, AuthFileUnusable, R>
  readonly read: Effect.Effect<A, AuthFileUnusable, R>
  readonly every?: Duration.DurationInput | undefined
  /** Done when a new content has come into force. */
  readonly changed?: ((content: A, before: A) => Effect.Effect<void>) | undefined
  /**
   * What changes is read only when it has been the same for two looks: for content that means something else
   * as long as it is half written.
   */
  readonly isSettled?: boolean | undefined
}

/** The same for anything that can be stamped: sound at the start, and left as it was while it is not. */
export const watched = <A, R>(
  options: WatchedOptions<A, R>
): Effect.Effect<WatchedFile<A>, AuthFileUnusable, R | Scope.Scope> =>
  Effect.gen(function* () {
    const { changed, name } = options
    let stamp = yield* options.stamp
    let content = yield* options.read
    let last = stamp
    let complaint = ""
    const look = Effect.gen(function* () {
      const seen = yield* options.stamp
      const isSettled = options.isSettled !== true || seen === last
      last = seen
      if (seen === stamp) {
        // It was gone, and is back as it was.
        if (complaint.endsWith(unreadable)) complaint = ""
        return
      }
      if (!isSettled) return
      // Before reading: a change in between is a new stamp, and a bad content is not read every second.
      stamp = seen
      const before = content
      content = yield* options.read
      complaint = ""
      yield* Effect.logInfo(`${name} has changed and is in force`)
      if (changed !== undefined) yield* changed(content, before)
    })
    const loop = look.pipe(
      Effect.catchAll((error) => {
        if (error.message === complaint) return Effect.void
        complaint = error.message
        return Effect.logWarning(`${complaint}; what it said before stays in force`)
      }),
      Effect.delay(options.every ?? LOOK_EVERY),
      Effect.forever
    )
    yield* Effect.forkScoped(loop)
    return { current: () => content }
  })

/** How a problem ends that is gone when the file is back. */
export const unreadable = "cannot be read"

export const stampOf = (path: string): Effect.Effect<string, AuthFileUnusable, FileSystem.FileSystem> =>
  Effect.flatMap(FileSystem.FileSystem, (files) =>
    files.stat(path).pipe(
      Effect.map(({ ino, mtime, size }) =>
        [Option.getOrUndefined(mtime)?.getTime(), size, Option.getOrUndefined(ino)].join(" ")
      ),
      Effect.mapError(() => new AuthFileUnusable({ path, problem: unreadable }))
    )
  )

const read = <A>({
  parse,
  path
}: WatchedFileOptions<A>): Effect.Effect<A, AuthFileUnusable, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    const text = yield* Effect.mapError(
      files.readFileString(path),
      () => new AuthFileUnusable({ path, problem: unreadable })
    )
    return yield* Effect.mapError(parse(text), (problem) => new AuthFileUnusable({ path, problem }))
  })
