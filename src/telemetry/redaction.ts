/**
 * What may be shown of things that could hold anything: of what was thrown, and of what somebody logs.
 *
 * Secrets are `Redacted` where they have a type of their own. This is for the rest: bytes are told by their
 * number, of an object that was thrown only its kind is told, and texts under names that say that they are
 * secret are left out. A message that quotes what could not be read is left out as well.
 */

import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { withPublicUrls } from "../values/publicUrl.ts"

export const REDACTED = "<redacted>"

/** Texts that must not be seen, should a message quote them. */
export type Secrets = ReadonlyArray<string>

/** A cause as a log may show it. */
export const loggable = (cause: Cause.Cause<unknown>, secrets: Secrets = []): Cause.Cause<unknown> =>
  Cause.match(cause, {
    onEmpty: Cause.empty as Cause.Cause<unknown>,
    // Failures that are texts are ours, and say what has failed.
    onFail: (error) =>
      Cause.fail(typeof error === "string" ? without(secrets, error) : shownError(error, secrets)),
    onDie: (defect) => Cause.die(shownError(defect, secrets)),
    onInterrupt: (id) => Cause.interrupt(id),
    onSequential: (left, right) => Cause.sequential(left, right),
    onParallel: (left, right) => Cause.parallel(left, right)
  })

/**
 * For what somebody else has written: whoever calls it tells how it has failed. The runtime would tell it as
 * well, with the error as it is, of every fiber that ends with one.
 */
export const quietly = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withUnhandledErrorLogLevel(effect, Option.none())

/** What was thrown, in one line. */
export const errorText = (thrown: unknown, secrets: Secrets = []): string => {
  const shown = shownError(thrown, secrets)
  if (!(shown instanceof Error)) return String(shown)
  return shown.message === "" ? shown.name : `${shown.name}: ${shown.message}`
}

/** A value as a log may show it. */
export const loggableValue = (value: unknown, depth = 0): unknown => {
  switch (typeof value) {
    case "string":
    case "number":
    case "boolean":
    case "undefined":
      return value
    case "object":
      return value === null ? null : loggableObject(value, depth)
    default:
      return typeof value === "bigint" ? String(value) : typeof value
  }
}

/** An error of which nothing is left but what may be seen. */
class ShownError extends Error {
  constructor(
    override readonly name: string,
    message: string,
    stack: string | undefined,
    cause: unknown
  ) {
    super(message, cause === undefined ? undefined : { cause })
    this.stack = [message === "" ? name : `${name}: ${message}`, ...framesOf(stack)].join("\n")
  }
}

const shownError = (thrown: unknown, secrets: Secrets, depth = 0): unknown => {
  if (!(thrown instanceof Error)) return kindOf(thrown)
  const { cause, name, stack } = thrown
  const within =
    cause === undefined || depth === DEPTH_MAX ? undefined : shownError(cause, secrets, depth + 1)
  return new ShownError(name, without(secrets, messageOf(thrown)), stack, within)
}

/** Those of the runtime and of Effect say which text it was that they could not make sense of. */
const quoting = new Set(["SyntaxError", "ParseError"])

/** Our own errors have a reason where others have a message. */
const messageOf = (error: Error & { readonly reason?: unknown }): string => {
  if (quoting.has(error.name)) return "what was read is not shown"
  if (error.message !== "") return error.message
  return typeof error.reason === "string" ? error.reason : ""
}

const framesOf = (stack: string | undefined): ReadonlyArray<string> =>
  (stack ?? "").split("\n").filter((line) => /^\s+at /.test(line))

const kindOf = (thrown: unknown): string =>
  typeof thrown === "object" && thrown !== null && "_tag" in thrown && typeof thrown._tag === "string"
    ? thrown._tag
    : typeof thrown

/** Shorter texts stand in too many words. */
const SECRET_CHARS_MIN = 4

const without = (secrets: Secrets, text: string): string =>
  secrets.reduce(
    (rest, secret) => (secret.length < SECRET_CHARS_MIN ? rest : rest.replaceAll(secret, REDACTED)),
    withPublicUrls(text)
  )

/** Whether what has such a name is not to be seen. */
export const isSecretName = (name: string): boolean => secretNames.test(name)

const secretNames =
  /pass(word|phrase)|secret|token|authorization|authenticationData|credential|cookie|private_?key|payload/i

const DEPTH_MAX = 4
const LENGTH_MAX = 100

const loggableObject = (value: object, depth: number): unknown => {
  if (Redacted.isRedacted(value)) return REDACTED
  if (value instanceof Error) return errorText(value)
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return `${value.byteLength} bytes`
  if (value instanceof Date) return value.toISOString()
  if (depth === DEPTH_MAX) return "…"
  if (Array.isArray(value)) {
    return value.slice(0, LENGTH_MAX).map((each) => loggableValue(each, depth + 1))
  }
  const shown = Object.entries(value)
    .slice(0, LENGTH_MAX)
    .map(([name, each]) => {
      const isSecret = isSecretName(name) && (typeof each === "string" || typeof each === "object")
      return [name, isSecret ? REDACTED : loggableValue(each, depth + 1)] as const
    })
  return Object.fromEntries(shown)
}
