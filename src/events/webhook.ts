/**
 * Events by HTTP: batches of them go as JSON arrays, by POST, to one URL.
 *
 * A batch that is not taken is sent again, at growing and random distances, under the same `Idempotency-Key`,
 * so that a service which has taken it after all can tell. An answer that more attempts cannot change (4xx,
 * but for 408, 425 and 429) gives the batch up at once, time gives it up in the end; what is given up, and
 * what found no room while a batch was tried, is counted and told by an `EventsLost`. A service that fails
 * again and again is left alone for a while.
 *
 * The URL is the operator's alone: no tenant can name one, so nobody can have the broker call into the
 * operator's network. Redirects are not followed, and of an answer only the status is looked at.
 */

import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import { boundedFetch } from "../auth/boundedFetch.ts"
import { CircuitBreaker } from "../auth/http/CircuitBreaker.ts"
import { boundedSink } from "./bounded.ts"
import type { Event } from "./Event.ts"
import { EventSink } from "./EventSink.ts"
import { eventObject, type Happened } from "./eventJson.ts"
import { eventKinds } from "./eventKinds.ts"

export interface WebhookOptions {
  readonly url: string
  /** Sent as the header `Authorization`; "" sends none. */
  readonly authorization: Redacted.Redacted
  /** Events that are sent; all but those of single messages when empty. `EventsLost` always is. */
  readonly tags: ReadonlyArray<string>
  /** Tenants whose events are sent; everything when empty. */
  readonly tenants: ReadonlyArray<string>
  /** What a call may take. */
  readonly timeoutMs: number
  /** Events of one call. */
  readonly batchMax: number
  /** Events that wait, and what they weigh. */
  readonly bufferMax: number
  readonly bufferBytesMax: number
  /** The first distance between two attempts, which doubles, and the longest. */
  readonly backoffMs: number
  readonly backoffMaxMs: number
  /** How long a batch is tried. */
  readonly retryForMs: number
  /** Failures in a row after which the service is left alone, and for how long. */
  readonly failuresMax: number
  readonly restMs: number
  /** How long the broker waits, when it stops, for what is not sent yet. */
  readonly flushMs: number
}

export const defaultWebhookOptions = {
  authorization: Redacted.make(""),
  tags: [],
  tenants: [],
  timeoutMs: 5000,
  batchMax: 500,
  bufferMax: 100_000,
  bufferBytesMax: 32 * 1024 * 1024,
  backoffMs: 500,
  backoffMaxMs: 30_000,
  retryForMs: 600_000,
  failuresMax: 5,
  restMs: 10_000,
  flushMs: 5000
} satisfies Omit<WebhookOptions, "url">

/** `options.url` is required; see `defaultWebhookOptions` for the others. */
export const webhookLayer = (
  options: Partial<WebhookOptions> & Pick<WebhookOptions, "url">
): Layer.Layer<EventSink> => {
  const all: WebhookOptions = { ...defaultWebhookOptions, ...options }
  return Layer.scoped(
    EventSink,
    boundedSink({
      name: "webhook",
      countMax: all.bufferMax,
      bytesMax: all.bufferBytesMax,
      batchMax: all.batchMax,
      flushMs: all.flushMs,
      takes: filterOf(all),
      deliver: deliverTo(all)
    })
  )
}

const filterOf = ({ tags, tenants }: WebhookOptions): ((event: Event) => boolean) => {
  const wantedTags = new Set(tags)
  const wantedTenants = new Set(tenants)
  return (event) => {
    const isWanted = wantedTags.size === 0 ? !eventKinds[event._tag].isDebug : wantedTags.has(event._tag)
    return isWanted && (wantedTenants.size === 0 || isOfTenants(event, wantedTenants))
  }
}

const isOfTenants = (event: Event, tenants: ReadonlySet<string>): boolean =>
  event.tenant !== undefined && tenants.has(event.tenant)

/** An attempt has failed; `isFinal` when no other would fare better. Handled here: tried again, or lost. */
class NotTaken extends Data.TaggedError("NotTaken")<{
  readonly problem: string
  readonly isFinal: boolean
}> {}

/** Statuses of 400 and more that say: later. */
const later: ReadonlySet<number> = new Set([408, 425, 429])

const deliverTo = (options: WebhookOptions) => {
  const breaker = new CircuitBreaker(options)
  const again = Schedule.exponential(options.backoffMs).pipe(
    Schedule.union(Schedule.spaced(options.backoffMaxMs)),
    Schedule.jittered,
    Schedule.upTo(Duration.millis(options.retryForMs))
  )
  return (batch: ReadonlyArray<Happened>): Effect.Effect<boolean> =>
    Effect.suspend(() => {
      const request = { body: JSON.stringify(batch.map(eventObject)), key: crypto.randomUUID() }
      return attempt(request, options, breaker).pipe(
        Effect.retry({ schedule: again, while: ({ isFinal }) => !isFinal }),
        Effect.as(true),
        Effect.catchTag("NotTaken", ({ problem }) =>
          Effect.as(
            Effect.logWarning(`events: the webhook did not take ${batch.length} events: ${problem}`),
            false
          )
        )
      )
    })
}

interface Request {
  readonly body: string
  readonly key: string
}

const attempt = (
  request: Request,
  options: WebhookOptions,
  breaker: CircuitBreaker
): Effect.Effect<void, NotTaken> =>
  Effect.gen(function* () {
    if (!breaker.admits(yield* Clock.currentTimeMillis)) return yield* resting
    const status = yield* Effect.onInterrupt(call(request, options), () =>
      Effect.sync(() => breaker.abandoned())
    )
    const nowMs = yield* Clock.currentTimeMillis
    if (typeof status === "number" && status < 300) return breaker.succeeded()
    const isFinal = typeof status === "number" && status >= 400 && status < 500 && !later.has(status)
    // It is there, and says what is wrong.
    if (isFinal) breaker.succeeded()
    else breaker.failed(nowMs)
    const problem = typeof status === "number" ? `it answers with status ${status}` : status
    return yield* new NotTaken({ problem, isFinal })
  })

const resting = new NotTaken({ problem: "it has failed too often", isFinal: false })

/** The status of the answer, or what went wrong. */
const call = (
  { body, key }: Request,
  { authorization, timeoutMs, url }: WebhookOptions
): Effect.Effect<number | string> => {
  const secret = Redacted.value(authorization)
  const headers = {
    "content-type": "application/json",
    "idempotency-key": key,
    ...(secret !== "" && { authorization: secret })
  }
  const init = { method: "POST", headers, body }
  return boundedFetch({ url, init, timeoutMs, bytesMax: 0 }).pipe(
    Effect.map(({ status }) => status),
    Effect.catchTag("HttpFailed", ({ problem }) => Effect.succeed(problem))
  )
}
