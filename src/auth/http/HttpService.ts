/**
 * A service over HTTP that is asked questions: JSON by POST, JSON back with status 200, and whatever else
 * comes back is no answer.
 *
 * Calls are bounded in time, in number and in the bytes of their answers; a service that fails again and
 * again is left alone for a while.
 */

import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { boundedFetch } from "../boundedFetch.ts"
import { CircuitBreaker } from "./CircuitBreaker.ts"

export interface HttpServiceOptions {
  readonly url: string
  /** Sent as the header `Authorization`; "" sends none. */
  readonly authorization: string
  readonly timeoutMs: number
  /** Calls under way at a time. */
  readonly concurrency: number
  /** Failures in a row after which the service is left alone, and for how long. */
  readonly failuresMax: number
  readonly restMs: number
}

/** There is no answer: too much was asked at a time, or the service has none. */
export type NoAnswer = "busy" | "unavailable"

/** What is asked, as JSON, to what is answered. */
export type HttpService<A> = (question: string) => Effect.Effect<A, NoAnswer>

const ANSWER_BYTES_MAX = 256 * 1024

export interface Expected<A> {
  /** What it is asked for; for the log. */
  readonly purpose: string
  readonly decode: (text: string) => Either.Either<A, unknown>
}

export const httpService = <A>(options: HttpServiceOptions, expected: Expected<A>): HttpService<A> => {
  const breaker = new CircuitBreaker(options)
  let underWay = 0
  return (question) =>
    Effect.gen(function* () {
      if (underWay >= options.concurrency) return yield* Effect.fail<NoAnswer>("busy")
      if (!breaker.admits(yield* Clock.currentTimeMillis)) return yield* Effect.fail<NoAnswer>("unavailable")
      underWay++
      const called = call(options, expected, question).pipe(
        Effect.ensuring(
          Effect.sync(() => {
            underWay--
          })
        ),
        Effect.onInterrupt(() => Effect.sync(() => breaker.abandoned()))
      )
      const answer = yield* Effect.either(called)
      if (Either.isRight(answer)) {
        breaker.succeeded()
        return answer.right
      }
      breaker.failed(yield* Clock.currentTimeMillis)
      yield* Effect.logWarning(`${expected.purpose} over HTTP: ${answer.left}`)
      return yield* Effect.fail<NoAnswer>("unavailable")
    })
}

const call = <A>(
  { authorization, timeoutMs, url }: HttpServiceOptions,
  { decode }: Expected<A>,
  body: string
): Effect.Effect<A, string> => {
  const headers = {
    "content-type": "application/json",
    accept: "application/json",
    ...(authorization !== "" && { authorization })
  }
  const request = { url, init: { method: "POST", headers, body }, timeoutMs, bytesMax: ANSWER_BYTES_MAX }
  return boundedFetch(request).pipe(
    Effect.mapError(({ message }) => message),
    Effect.flatMap(({ status, text }) => {
      if (status !== 200) return Effect.fail(`the service answers with status ${status}`)
      // What is wrong with an answer may hold what is secret in it.
      return Effect.mapError(decode(text), () => "the service's answer is not of the form that is expected")
    })
  )
}
