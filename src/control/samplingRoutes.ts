/** Which messages are traced, over the control socket: rules that hold for a while. */

import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { isSamplingFilter, SAMPLING_RULES_MAX, type Sampler } from "../telemetry/tracing/Sampler.ts"
import { type AdministrationError, refused } from "./AdministrationError.ts"
import { bodyOf, type ControlRoute } from "./ControlRoute.ts"

const SECONDS_MAX = 30 * 86_400

const Subject = {
  tenant: Schema.optionalWith(Schema.NonEmptyString, { exact: true }),
  clientId: Schema.optionalWith(Schema.NonEmptyString, { exact: true }),
  topicFilter: Schema.optionalWith(
    Schema.NonEmptyString.pipe(
      Schema.filter(isSamplingFilter, {
        message: () => "is no topic filter that messages are matched against"
      })
    ),
    { exact: true }
  )
}

const Addition = Schema.Struct({
  ...Subject,
  ratio: Schema.Number.pipe(Schema.between(0, 1)),
  seconds: Schema.Int.pipe(Schema.between(1, SECONDS_MAX))
})

/** Without a subject, of all of them. */
const Removal = Schema.Struct(Subject)

/** `sampler` is undefined where nothing is traced. */
export const samplingRoutes = (sampler: Sampler | undefined): ReadonlyArray<ControlRoute> => {
  const tracing: Effect.Effect<Sampler, AdministrationError> =
    sampler === undefined ? nothingTraced : Effect.succeed(sampler)
  return [
    {
      method: "GET",
      path: "/sampling",
      handle: () =>
        Effect.flatMap(tracing, (of) =>
          Effect.map(Clock.currentTimeMillis, (nowMs) => ({ rules: of.rulesAt(nowMs) }))
        )
    },
    {
      method: "POST",
      path: "/sampling",
      handle: (request) =>
        Effect.gen(function* () {
          const of = yield* tracing
          const { seconds, ...rule } = yield* bodyOf(request, Addition)
          const nowMs = yield* Clock.currentTimeMillis
          if (!of.putRule({ ...rule, untilMs: nowMs + seconds * 1000 }, nowMs)) {
            return yield* refused("unavailable", `there are ${SAMPLING_RULES_MAX} rules already`)
          }
        })
    },
    {
      method: "POST",
      path: "/sampling/remove",
      handle: (request) =>
        Effect.gen(function* () {
          const of = yield* tracing
          const about = yield* bodyOf(request, Removal)
          const nowMs = yield* Clock.currentTimeMillis
          const isAll = Object.keys(about).length === 0
          return { removed: of.removeRules(isAll ? undefined : about, nowMs) }
        })
    }
  ]
}

const nothingTraced = refused(
  "unavailable",
  "the broker has no collector for traces: name one with tracing.endpoint, and start it again"
)
