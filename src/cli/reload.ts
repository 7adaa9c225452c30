/**
 * Reads the configuration again and puts it in force: on SIGHUP, when its file changes, and when somebody
 * asks.
 *
 * A configuration that cannot be used changes nothing, and the log says everything that is wrong with it. The
 * file is read when it has been the same for two looks, so one that is half written is left to be finished.
 */

import type * as FileSystem from "@effect/platform/FileSystem"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { stampOf } from "../auth/WatchedFile.ts"
import type { ConfigError } from "../config/Config.ts"
import type { Change } from "../config/changes.ts"
import type { Resolved } from "../config/Resolution.ts"
import { ReloadRefused, Running } from "./running.ts"

/** What a broker was started with. */
export interface Configuration extends Resolved {
  /** The file that it was read from. */
  readonly file: Option.Option<string>
  /** Reads the file and the environment again. */
  readonly again: Effect.Effect<Resolved, ConfigError>
}

/** Reads and puts in force; says what that has changed, or will change with a restart. */
export const reload = ({
  again
}: Pick<Configuration, "again">): Effect.Effect<ReadonlyArray<Change>, ReloadRefused, Running> =>
  Effect.gen(function* () {
    const { take } = yield* Running
    return yield* take(yield* Effect.mapError(again, (cause) => new ReloadRefused({ cause })))
  })

/** Reloads on SIGHUP and when the file changes, as long as the scope is open. */
export const reloadWhenAsked = (
  configuration: Configuration,
  every: Duration.DurationInput = LOOK_EVERY
): Effect.Effect<void, never, Running | FileSystem.FileSystem | Scope.Scope> =>
  Option.match(configuration.file, {
    // There is nothing to read again, so SIGHUP ends the broker, as it does by default.
    onNone: () => Effect.void,
    onSome: (file) =>
      Effect.gen(function* () {
        // From here on: a signal that nobody hears ends the process.
        const asked = yield* hangUps
        const changed = Stream.as(changesOf(file, every), false)
        yield* Stream.merge(Stream.as(Stream.fromQueue(asked), true), changed).pipe(
          Stream.runForEach((isAsked) => tell(reload(configuration), isAsked)),
          Effect.forkScoped
        )
      })
  })

/** Looking at a file's times costs some ten microseconds. */
const LOOK_EVERY = Duration.millis(500)

/** Of several that come while one is obeyed all want the same. */
const hangUps: Effect.Effect<Queue.Dequeue<void>, never, Scope.Scope> = Effect.gen(function* () {
  const asked = yield* Queue.dropping<void>(1)
  const onHangUp = () => {
    asked.unsafeOffer(undefined)
  }
  yield* Effect.acquireRelease(
    Effect.sync(() => process.on("SIGHUP", onHangUp)),
    () => Effect.sync(() => process.off("SIGHUP", onHangUp))
  )
  return asked
})

/**
 * Each state of the file that lasts for two looks; the first is what it is now, which may not be what was
 * read when the broker was about to start.
 */
const changesOf = (
  file: string,
  every: Duration.DurationInput
): Stream.Stream<string, never, FileSystem.FileSystem> =>
  Stream.repeatEffectWithSchedule(
    Effect.catchAll(stampOf(file), () => Effect.succeed("it is gone")),
    Schedule.spaced(every)
  ).pipe(
    Stream.zipWithPrevious,
    Stream.filterMap(([before, now]) => Option.filter(before, (stamp) => stamp === now)),
    Stream.changes
  )

/** `isAsked`: somebody waits for an answer, also when there is none to give. */
const tell = (
  reloading: Effect.Effect<ReadonlyArray<Change>, ReloadRefused, Running>,
  isAsked: boolean
): Effect.Effect<void, never, Running> =>
  reloading.pipe(
    Effect.flatMap((changes) =>
      changes.length > 0 || isAsked ? Effect.logInfo(reloadText(changes)) : Effect.void
    ),
    Effect.catchAll(({ message }) =>
      Effect.logError(`configuration not reloaded; what was in force stays. ${message}`)
    ),
    Effect.catchAllDefect((defect) => Effect.logError("configuration not reloaded", defect))
  )

const CHANGES_SHOWN = 40

/** What has come of a reload, in one line. */
export const reloadText = (changes: ReadonlyArray<Change>): string => {
  const live = changes.filter(({ isLive }) => isLive)
  const later = changes.filter(({ isLive }) => !isLive)
  const parts = [
    changes.length === 0 ? "nothing has changed" : "",
    live.length > 0 ? listed(live) : "",
    later.length > 0 ? `needs a restart: ${listed(later)}` : ""
  ]
  return `configuration reloaded: ${parts.filter((part) => part !== "").join("; ")}`
}

const listed = (changes: ReadonlyArray<Change>): string => {
  const shown = changes.slice(0, CHANGES_SHOWN).map(({ text }) => text)
  const more = changes.length - shown.length
  return [...shown, ...(more > 0 ? [`${more} more`] : [])].join(", ")
}
