/**
 * Payloads that have to be JSON of a certain form: what a schema does not accept is refused with Payload
 * format invalid (0x99) and the reason.
 */

import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import type * as Schema from "effect/Schema"
import { ReasonCode } from "../../protocol/ReasonCode.ts"
import { matchesFilter } from "../../topic/TopicFilter.ts"
import type { PolicyMessage } from "./PolicyMessage.ts"
import type { Policy } from "./TenantPolicy.ts"
import { type Answer, allow, type PublishVerdict, refuse } from "./Verdict.ts"

const reasonCharsMax = 500

/**
 * Checks what is published to topics that match `topicFilter`. An empty payload is let through: with RETAIN
 * it removes a retained message, without it says nothing. Where several schemas are composed each looks at
 * its own topics.
 */
export const payloadSchema = <A, I>(topicFilter: string, schema: Schema.Schema<A, I>): Policy => {
  const decode = ParseResult.decodeUnknown(schema)
  const checked = (message: PolicyMessage): Answer<PublishVerdict> => {
    const json = parsed(message.payload)
    if (Either.isLeft(json)) return invalid("it is no JSON")
    const decoded = decode(json.right)
    // A schema without effects has decoded it by now.
    const done = ParseResult.eitherOrUndefined(decoded)
    if (done !== undefined) return Either.isRight(done) ? allow : invalid(reasonOf(done.left))
    return Effect.match(decoded, { onFailure: (issue) => invalid(reasonOf(issue)), onSuccess: () => allow })
  }
  return {
    publish: (message) =>
      message.payload.length === 0 || !matchesFilter(topicFilter, message.topic) ? allow : checked(message)
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true })

const parsed = (payload: Uint8Array): Either.Either<unknown, unknown> =>
  Either.try((): unknown => JSON.parse(utf8.decode(payload)))

const reasonOf = (issue: ParseResult.ParseIssue): string => {
  const [first] = ParseResult.ArrayFormatter.formatIssueSync(issue)
  if (first === undefined) return "it has another form"
  const at = first.path.length === 0 ? "" : `${first.path.map(String).join(".")}: `
  // What the payload had instead is nothing for logs.
  return `${at}${first.message.replace(/, actual [\s\S]*$/, "")}`.slice(0, reasonCharsMax)
}

const invalid = (reason: string): PublishVerdict =>
  refuse(ReasonCode.PayloadFormatInvalid, `the payload is not as it has to be: ${reason}`)
