/**
 * A service over HTTP that knows who clients are: what a client presents goes there as JSON, and the answer
 * comes back as JSON. Whatever else comes back means no.
 *
 * Answers are kept for a while, yes and no alike, so that a fleet that reconnects does not become a flood of
 * calls; they are found again by a digest of all that was presented, made with a key of this process, so no
 * password is kept. Calls are bounded in time, in number and in the bytes of their answers; a service that
 * fails again and again is left alone for a while.
 */

import { createHmac, randomBytes } from "node:crypto"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { ReasonCode } from "../../protocol/ReasonCode.ts"
import { DEFAULT_TENANT } from "../../tenant/TenantDirectory.ts"
import type { Credentials, Refused } from "../Authenticator.ts"
import { boundedFetch } from "../boundedFetch.ts"
import { type AuthenticationMethod, notMine, type Verdict, wrongCredentials } from "../Chain.ts"
import { BoundedTable } from "../guard/BoundedTable.ts"
import { Rules } from "../ruleSchema.ts"
import { CircuitBreaker } from "./CircuitBreaker.ts"

export interface HttpMethodOptions {
  readonly url: string
  /** Sent as the header `Authorization`; "" sends none. */
  readonly authorization: string
  readonly timeoutMs: number
  /** Calls under way at a time; clients beyond that hear that the server is busy. */
  readonly concurrency: number
  /** How long a yes and a no are kept; 0 does not keep them. */
  readonly acceptedTtlMs: number
  readonly refusedTtlMs: number
  readonly cacheSizeMax: number
  /** Failures in a row after which the service is left alone, and for how long. */
  readonly failuresMax: number
  readonly restMs: number
}

const ANSWER_BYTES_MAX = 256 * 1024

const Name = Schema.String.pipe(Schema.minLength(1), Schema.maxLength(1024))

/** What the service answers, with status 200. */
const Answer = Schema.parseJson(
  Schema.Union(
    Schema.Struct({
      result: Schema.Literal("allow"),
      principal: Name,
      /** `default` when absent. */
      tenant: Schema.optionalWith(Name, { default: () => DEFAULT_TENANT }),
      /** Seconds since the epoch: the connection ends then. */
      validUntil: Schema.optional(Schema.Number.pipe(Schema.between(0, 8.64e12))),
      rules: Schema.optional(Rules)
    }),
    Schema.Struct({ result: Schema.Literal("deny") }),
    /** It does not know this client: the next method is asked. */
    Schema.Struct({ result: Schema.Literal("ignore") })
  )
)

type Answer = typeof Answer.Type

const decodeAnswer = Schema.decodeUnknownEither(Answer)

interface Kept {
  readonly verdict: Verdict
  readonly untilMs: number
}

export const httpMethod = (options: HttpMethodOptions): AuthenticationMethod => {
  const { acceptedTtlMs, refusedTtlMs } = options
  const breaker = new CircuitBreaker(options)
  const kept = new BoundedTable<Kept>(options.cacheSizeMax)
  const digestKey = randomBytes(32)
  let underWay = 0

  const ask = (body: string, key: string): Effect.Effect<Verdict> =>
    Effect.gen(function* () {
      const nowMs = yield* Clock.currentTimeMillis
      const known = kept.get(key)
      if (known !== undefined && nowMs < known.untilMs) return known.verdict
      if (underWay >= options.concurrency) return busy
      if (!breaker.admits(nowMs)) return unavailable
      underWay++
      const called = call(options, body).pipe(
        Effect.ensuring(
          Effect.sync(() => {
            underWay--
          })
        ),
        Effect.onInterrupt(() => Effect.sync(() => breaker.abandoned()))
      )
      const answer = yield* Effect.either(called)
      const answeredMs = yield* Clock.currentTimeMillis
      if (Either.isLeft(answer)) {
        breaker.failed(answeredMs)
        yield* Effect.logWarning(`authentication over HTTP: ${answer.left}`)
        return unavailable
      }
      breaker.succeeded()
      const verdict = verdictOf(answer.right)
      const ttlMs = verdict._tag === "Accepted" ? acceptedTtlMs : refusedTtlMs
      if (ttlMs > 0) kept.set(key, { verdict, untilMs: answeredMs + ttlMs })
      return verdict
    })

  return {
    name: "http",
    authenticate: (credentials) => {
      const { authenticationMethod, password, peer, username } = credentials
      const isPresented = username !== undefined || password !== undefined || peer.certificate !== undefined
      if (!isPresented || authenticationMethod !== undefined) return Effect.succeed(notMine)
      const body = bodyOf(credentials)
      if (body === undefined) return Effect.succeed(wrongCredentials)
      return ask(body, createHmac("sha256", digestKey).update(body).digest("base64"))
    }
  }
}

/** What is told of a client; undefined when its password is no text. */
const bodyOf = ({ clientId, password, peer, protocolVersion, username }: Credentials): string | undefined => {
  const text = password === undefined ? undefined : textOf(password)
  if (password !== undefined && text === undefined) return undefined
  const { address, certificate, listener, serverName } = peer
  return JSON.stringify({
    clientId,
    username,
    password: text,
    address,
    listener,
    serverName,
    certificate,
    protocolVersion
  })
}

const textOf = (bytes: Uint8Array): string | undefined => {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return undefined
  }
}

const call = (
  { authorization, timeoutMs, url }: HttpMethodOptions,
  body: string
): Effect.Effect<Answer, string> => {
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
      return Effect.mapError(
        decodeAnswer(text),
        () => "the service's answer is not of the form that is expected"
      )
    })
  )
}

const verdictOf = (answer: Answer): Verdict => {
  if (answer.result === "ignore") return notMine
  if (answer.result === "deny") return wrongCredentials
  const { principal, rules, tenant, validUntil } = answer
  return {
    _tag: "Accepted",
    tenant,
    principal,
    ...(validUntil !== undefined && { validUntilMs: validUntil * 1000 }),
    ...(rules !== undefined && { rules })
  }
}

const unavailable: Refused = {
  _tag: "Refused",
  reasonCode: ReasonCode.ServerUnavailable,
  reason: "the service that knows clients is not available"
}

const busy: Refused = {
  _tag: "Refused",
  reasonCode: ReasonCode.ServerBusy,
  reason: "too many clients authenticate at a time"
}
