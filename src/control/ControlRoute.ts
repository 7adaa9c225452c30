/**
 * What may be asked of a broker through its control socket: a table of routes, each from a request to an
 * answer. Requests are judged by schemas; an answer is whatever JSON can say, or a stream of that.
 */

import * as Effect from "effect/Effect"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { isSecretName } from "../telemetry/redaction.ts"
import { type AdministrationError, refused } from "./AdministrationError.ts"

export interface ControlRequest {
  /** The parts of the path that the route names. */
  readonly params: ReadonlyMap<string, string>
  readonly query: URLSearchParams
  /** The body's JSON; undefined when there is none. */
  readonly body: unknown
}

export interface ControlRoute {
  readonly method: "GET" | "POST" | "PATCH" | "DELETE"
  /** For instance `/tenants/:tenant`: what begins with a colon stands for one part, whatever it is. */
  readonly path: string
  readonly handle: (request: ControlRequest) => Effect.Effect<unknown, AdministrationError>
}

/** An answer that goes on: a line of JSON at a time, for as long as whoever asked reads. */
export class LineStream {
  constructor(
    /** The next lines, as soon as there are some; none when there will be none. Asked for when it is read. */
    readonly next: Effect.Effect<ReadonlyArray<string>>,
    /** Nobody reads it any more. */
    readonly close: () => void
  ) {}
}

/** A part of the path that the route names. */
export const param = ({ params }: ControlRequest, name: string): string => params.get(name) ?? ""

/** The request's query as the schema says it. Of a name that comes twice the last counts. */
export const queryOf = <A, I>(
  { query }: ControlRequest,
  schema: Schema.Schema<A, I>
): Effect.Effect<A, AdministrationError> => decoded(schema, Object.fromEntries(query), "the query")

/** The same for its body. */
export const bodyOf = <A, I>(
  { body }: ControlRequest,
  schema: Schema.Schema<A, I>
): Effect.Effect<A, AdministrationError> => decoded(schema, body ?? {}, "the body")

const decoded = <A, I>(
  schema: Schema.Schema<A, I>,
  given: unknown,
  what: string
): Effect.Effect<A, AdministrationError> =>
  Effect.mapError(
    Schema.decodeUnknown(schema, { errors: "all", onExcessProperty: "error" })(given),
    (error) => {
      const issues = ParseResult.ArrayFormatter.formatErrorSync(error)
      const problems = issues.map(({ message, path }) => {
        const key = path.map(String).join(".")
        // A message says what was found instead.
        return { key, message: isSecretName(key) ? "is not what it should be" : message }
      })
      return refused("invalid", `${what} is not what it should be`, problems)
    }
  )

/** The route of a request and the parts of its path; undefined when there is none. */
export const routeOf = (
  routes: ReadonlyArray<ControlRoute>,
  method: string,
  path: string
): { readonly route: ControlRoute; readonly params: ReadonlyMap<string, string> } | undefined => {
  const given = partsOf(path)
  if (given === undefined) return undefined
  for (const route of routes) {
    if (route.method !== method) continue
    const params = paramsOf(route.path.split("/"), given)
    if (params !== undefined) return { route, params }
  }
  return undefined
}

const partsOf = (path: string): ReadonlyArray<string> | undefined => {
  try {
    return path.split("/").map(decodeURIComponent)
  } catch {
    return undefined
  }
}

const paramsOf = (
  pattern: ReadonlyArray<string>,
  given: ReadonlyArray<string>
): ReadonlyMap<string, string> | undefined => {
  if (pattern.length !== given.length) return undefined
  const params = new Map<string, string>()
  for (const [index, part] of pattern.entries()) {
    const value = given[index] ?? ""
    if (part.startsWith(":") && value !== "") params.set(part.slice(1), value)
    else if (part !== value) return undefined
  }
  return params
}
