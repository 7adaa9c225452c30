/**
 * A service over HTTP that knows who clients are: what a client presents goes there as JSON, and the answer
 * comes back as JSON. Whatever else comes back means no.
 *
 * Answers are kept for a while, yes and no alike, so that a fleet that reconnects does not become a flood of
 * calls; they are found again by a digest of all that was presented, made with a key of this process, so no
 * password is kept.
 */

import { createHmac, randomBytes } from "node:crypto"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { ReasonCode } from "../../protocol/ReasonCode.ts"
import { DEFAULT_TENANT } from "../../tenant/TenantDirectory.ts"
import type { Credentials, Refused } from "../Authenticator.ts"
import { type AuthenticationMethod, notMine, type Verdict, wrongCredentials } from "../Chain.ts"
import { BoundedTable } from "../guard/BoundedTable.ts"
import { Rules } from "../ruleSchema.ts"
import { type HttpServiceOptions, httpService } from "./HttpService.ts"

/** Clients beyond `concurrency` hear that the server is busy. */
export interface HttpMethodOptions extends HttpServiceOptions {
  /** How long a yes and a no are kept; 0 does not keep them. */
  readonly acceptedTtlMs: number
  readonly refusedTtlMs: number
  readonly cacheSizeMax: number
}

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
  const service = httpService(options, { purpose: "authentication", decode: decodeAnswer })
  const kept = new BoundedTable<Kept>(options.cacheSizeMax)
  const digestKey = randomBytes(32)

  const ask = (body: string, key: string): Effect.Effect<Verdict> =>
    Effect.gen(function* () {
      const known = kept.get(key)
      if (known !== undefined && (yield* Clock.currentTimeMillis) < known.untilMs) return known.verdict
      const answer = yield* Effect.either(service(body))
      if (Either.isLeft(answer)) return answer.left === "busy" ? busy : unavailable
      const verdict = verdictOf(answer.right)
      const ttlMs = verdict._tag === "Accepted" ? acceptedTtlMs : refusedTtlMs
      const answeredMs = yield* Clock.currentTimeMillis
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
  const text = password === undefined ? undefined : textOf(Redacted.value(password))
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
