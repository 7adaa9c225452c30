/** Following one client live, over the control socket. */

import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Follower } from "../telemetry/follow/Follower.ts"
import { FOLLOWERS_MAX } from "../telemetry/follow/Followers.ts"
import type { Administration } from "../tenant/administration.ts"
import { refused } from "./AdministrationError.ts"
import { type ControlRoute, LineStream, queryOf } from "./ControlRoute.ts"

const PAYLOAD_BYTES_MAX = 4096
const SECONDS_MAX = 86_400

const numberBetween = (min: number, max: number) =>
  Schema.NumberFromString.pipe(Schema.int(), Schema.between(min, max))

const Wish = Schema.Struct({
  tenant: Schema.NonEmptyString,
  client: Schema.NonEmptyString,
  /** Packets after which it ends. */
  packets: Schema.optional(numberBetween(1, 1_000_000_000)),
  seconds: Schema.optionalWith(numberBetween(1, SECONDS_MAX), { default: () => 600 }),
  /** Bytes that are shown of payloads. */
  payload: Schema.optionalWith(numberBetween(0, PAYLOAD_BYTES_MAX), { default: () => 0 })
})

/** How often it is looked whether there is something to tell though nothing came. */
const TICK = "1 second"

export const followRoutes = ({
  follow,
  session
}: Pick<Administration, "follow" | "session">): ReadonlyArray<ControlRoute> => [
  {
    method: "GET",
    path: "/follow",
    handle: (request) =>
      Effect.gen(function* () {
        const { client: clientId, packets, payload, seconds, tenant } = yield* queryOf(request, Wish)
        const view = yield* session(tenant, clientId, { action: "connect", topic: "" })
        const nowMs = yield* Clock.currentTimeMillis
        const untilMs = nowMs + seconds * 1000
        const options = { tenant, clientId, packetsMax: packets, untilMs, payloadBytes: payload }
        const follower = follow(options, nowMs)
        if (follower === undefined) {
          return yield* refused("unavailable", `${FOLLOWERS_MAX} clients are followed already`)
        }
        follower.note(`client ${clientId} of tenant ${tenant} ${standing(view)}`, nowMs)
        return new LineStream(nextLines(follower), () => follower.close())
      })
  }
]

const nextLines = (follower: Follower): Effect.Effect<ReadonlyArray<string>> =>
  Effect.gen(function* () {
    for (;;) {
      // What waits is taken outside of the race against the clock, so that none of it is lost there.
      yield* Effect.timeoutOption(follower.wake, TICK)
      follower.tick(yield* Clock.currentTimeMillis)
      const lines = follower.take()
      if (lines.length > 0 || follower.isOver) return lines
    }
  })

type SessionView = Effect.Effect.Success<ReturnType<Administration["session"]>>

const standing = (view: SessionView): string => {
  if (view === undefined) return "is not connected, and there is no session of it"
  if (!view.isConnected) return `is not connected; ${view.queuedMessages} messages wait for it`
  const { address, port, transport } = view.identity.peer
  const place = address === "" ? transport : `${address} port ${port} by ${transport}`
  return `is connected from ${place}, as ${view.identity.principal}`
}
