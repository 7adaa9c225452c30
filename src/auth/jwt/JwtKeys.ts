/**
 * Where the keys of tokens come from, as the method asks for them: fixed ones, a watched file, or a key set
 * behind a URL.
 *
 * A set behind a URL is fetched before the first token, again when it is old, and when a token names a key
 * that is not in it: that is how keys are rotated. Unknown names are free for everybody to make up, so there
 * is one fetch at a time and a least interval between two. While the URL does not answer the last good set
 * stays in force, for a day.
 */

import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import type * as Scope from "effect/Scope"
import { publicUrl } from "../../values/publicUrl.ts"
import { boundedFetch } from "../boundedFetch.ts"
import type { JwtAlgorithm } from "./Jwt.ts"
import { type JwtKeySet, keySetOfText, keysFor } from "./JwtKeySet.ts"

/** The keys that may have signed a token with this `kid`; undefined while there is no set at all. */
export type JwtKeys = (keyId: string | undefined) => Effect.Effect<ReadonlyArray<CryptoKey> | undefined>

export const keysOf =
  (current: () => JwtKeySet): JwtKeys =>
  (keyId) =>
    Effect.sync(() => keysFor(current(), keyId))

export interface KeyUrlOptions {
  readonly url: string
  readonly algorithm: JwtAlgorithm
  /** A set that is older is fetched again. */
  readonly refreshMs: number
  /** The least time between two fetches. */
  readonly intervalMs: number
  readonly timeoutMs: number
}

/** How long the last good set is used when the URL does not answer. */
const STALE_MS_MAX = Duration.toMillis("1 day")
const KEY_SET_BYTES_MAX = 1024 * 1024

/** Fetches end with the scope, not with the client that happened to need one. */
export const keysOfUrl = (options: KeyUrlOptions): Effect.Effect<JwtKeys, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { intervalMs, refreshMs } = options
    const scope = yield* Effect.scope
    let keys: JwtKeySet | undefined
    let fetchedAtMs = Number.NEGATIVE_INFINITY
    let triedAtMs = Number.NEGATIVE_INFINITY
    let underway: Deferred.Deferred<void> | undefined

    const fetchKeys = Effect.gen(function* () {
      const fetched = yield* fetchKeySet(options)
      fetchedAtMs = yield* Clock.currentTimeMillis
      keys = fetched
    }).pipe(Effect.catchAll((problem) => Effect.logWarning(`keys of tokens not fetched: ${problem}`)))

    /** Waits for a fetch, its own or the one that is under way. */
    const refresh = (nowMs: number): Effect.Effect<void> =>
      Effect.suspend(() => {
        if (underway !== undefined) return Deferred.await(underway)
        if (nowMs - triedAtMs < intervalMs) return Effect.void
        triedAtMs = nowMs
        const done = Deferred.unsafeMake<void>(FiberId.none)
        underway = done
        const end = Effect.suspend(() => {
          underway = undefined
          return Deferred.succeed(done, undefined)
        })
        return Effect.zipRight(Effect.forkIn(Effect.ensuring(fetchKeys, end), scope), Deferred.await(done))
      })

    return (keyId) =>
      Effect.gen(function* () {
        const nowMs = yield* Clock.currentTimeMillis
        if (keys === undefined || nowMs - fetchedAtMs >= refreshMs) yield* refresh(nowMs)
        if (keys !== undefined && keysFor(keys, keyId).length === 0) yield* refresh(nowMs)
        if (keys === undefined || nowMs - fetchedAtMs >= STALE_MS_MAX) return undefined
        return keysFor(keys, keyId)
      })
  })

const fetchKeySet = ({ algorithm, timeoutMs, url }: KeyUrlOptions): Effect.Effect<JwtKeySet, string> =>
  Effect.gen(function* () {
    const init = { headers: { accept: "application/jwk-set+json, application/json" } }
    const request = { url, init, timeoutMs, bytesMax: KEY_SET_BYTES_MAX }
    const { status, text } = yield* Effect.mapError(boundedFetch(request), ({ message }) => message)
    if (status !== 200) return yield* Effect.fail(`${publicUrl(url)} answers with ${status}`)
    // A secret that anybody can fetch would be none.
    if (algorithm === "HS256") return yield* Effect.fail("a key set behind a URL is not for HS256")
    return yield* Effect.mapError(keySetOfText(text, algorithm), (problem) => `${publicUrl(url)} ${problem}`)
  })
