/**
 * The kinds of values that a key of the configuration or a setting can have.
 *
 * Each is an Effect Schema that carries its documentation as an annotation: what the key means, what it
 * allows, its default and how an environment variable's text is read. The loader, the printer and the table
 * of the README all read these annotations, so a key is described in one place.
 */

import * as Duration from "effect/Duration"
import * as JSONSchema from "effect/JSONSchema"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import { CidrSet } from "../transport/Cidr.ts"
import { shown } from "./Problem.ts"
import {
  durationPattern,
  formatDuration,
  formatSize,
  parseDuration,
  parseSize,
  sizePattern
} from "./Units.ts"

/** What is known of a key beside its schema. */
export interface KeyFacts {
  readonly description: string
  /** What the key accepts, as it follows "expected". */
  readonly allowed: string
  /** As it would stand in a file; undefined when the key has no default. */
  readonly default: unknown
  /** Turns an environment variable's text into what would stand in a file. */
  readonly read: (text: string) => unknown
  /** Its value is never printed. */
  readonly secret: boolean
  /** What stands in a file, as JSON Schema. */
  readonly json: JsonSchema
}

export type JsonSchema = Readonly<Record<string, unknown>>

const factsId = Symbol.for("heddle/values/KeyFacts")

/** The facts of a key; undefined for a section. */
export const factsOf = (ast: SchemaAST.AST): KeyFacts | undefined =>
  Option.getOrUndefined(SchemaAST.getAnnotation<KeyFacts>(factsId)(ast))

/** What is wrong with a value that the key does not allow. */
export const valueProblem = (ast: SchemaAST.AST, value: unknown): string => {
  const facts = factsOf(ast)
  return `${facts?.secret === true ? "the value" : shown(value)} is not allowed; expected ${facts?.allowed}`
}

const key = <A, I>(schema: Schema.Schema<A, I>, facts: Partial<KeyFacts> & Pick<KeyFacts, "allowed">) =>
  schema.annotations({
    [factsId]: {
      description: "",
      default: undefined,
      read: readText,
      secret: false,
      json: {},
      ...facts
    } satisfies KeyFacts
  })

/** Gives a kind of value its meaning and its default, written as in a file. */
export const describe = <A, I>(
  schema: Schema.Schema<A, I>,
  description: string,
  defaultValue?: NoInfer<I>
): Schema.Schema<A, I> => key(schema, { ...factsOf(schema.ast)!, description, default: defaultValue })

const range = (min: number | string, max: number | string): string => `from ${min} to ${max}`

const readText = (text: string): unknown => text
const readNumber = (text: string): unknown => (/^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text)
const readBoolean = (text: string): unknown => (text === "true" ? true : text === "false" ? false : text)
const readList = (text: string): unknown => (text === "" ? [] : text.split(",").map((item) => item.trim()))
const readJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

export const integer = (min: number, max: number) =>
  key(Schema.Number.pipe(Schema.int(), Schema.between(min, max)), {
    allowed: `a whole number ${range(min, max)}`,
    read: readNumber,
    json: { type: "integer", minimum: min, maximum: max }
  })

/** A share, or another number that need not be whole. */
export const number = (min: number, max: number) =>
  key(Schema.Number.pipe(Schema.between(min, max)), {
    allowed: `a number ${range(min, max)}`,
    read: readNumber,
    json: { type: "number", minimum: min, maximum: max }
  })

/** A whole number of seconds, where the protocol counts in seconds; a file may also say it as a duration. */
export const seconds = (max: number, names: Readonly<Record<string, number>> = {}) => {
  const words = new Map(Object.entries(names))
  const toSeconds = (value: string | number): number | undefined => {
    if (typeof value === "number") return value
    const millis = words.has(value) ? words.get(value)! * 1000 : parseDuration(value)
    return millis === undefined ? undefined : millis / 1000
  }
  const written = [...words.keys()].map((word) => `, "${word}"`).join("")
  return key(
    converted(Schema.Union(Schema.Number, Schema.String), Schema.Number, {
      decode: (value) => {
        const count = toSeconds(value)
        return count !== undefined && Number.isInteger(count) && count >= 0 && count <= max
          ? count
          : undefined
      },
      encode: (count) => count
    }),
    {
      allowed: `seconds from 0 to ${max}${written}, or a duration such as "10m"`,
      read: readNumber,
      json: {
        anyOf: [
          { type: "integer", minimum: 0, maximum: max },
          { enum: [...words.keys()] },
          { type: "string", pattern: durationPattern.source }
        ]
      }
    }
  )
}

/** A duration with its unit. */
export const duration = (minMs: number, maxMs: number) =>
  key(
    converted(Schema.String, Schema.DurationFromSelf, {
      decode: (text) => {
        const millis = parseDuration(text)
        return millis !== undefined && millis >= minMs && millis <= maxMs
          ? Duration.millis(millis)
          : undefined
      },
      encode: (value) => formatDuration(Duration.toMillis(value))
    }),
    {
      allowed: `a duration such as "10s", ${range(formatDuration(minMs), formatDuration(maxMs))}`,
      json: { type: "string", pattern: durationPattern.source }
    }
  )

/** A number of bytes, or a size with its unit. */
export const size = (min: number, max: number) =>
  key(
    converted(Schema.Union(Schema.Number, Schema.String), Schema.Number, {
      decode: (value) => {
        const bytes = typeof value === "number" ? value : parseSize(value)
        return bytes !== undefined && Number.isInteger(bytes) && bytes >= min && bytes <= max
          ? bytes
          : undefined
      },
      encode: formatSize
    }),
    {
      allowed: `a number of bytes or a size such as "1MB", ${range(formatSize(min), formatSize(max))}`,
      read: readNumber,
      json: {
        anyOf: [
          { type: "integer", minimum: min, maximum: max },
          { type: "string", pattern: sizePattern.source }
        ]
      }
    }
  )

export const boolean = key(Schema.Boolean, {
  allowed: "true or false",
  read: readBoolean,
  json: { type: "boolean" }
})

export const oneOf = <const Words extends readonly [string, ...Array<string>]>(...words: Words) =>
  key(Schema.Literal(...words), { allowed: `one of ${words.join(", ")}`, json: { enum: words } })

/** Some of the words, each at most once, in an order that means something. */
export const wordsOf = <const Words extends readonly [string, ...Array<string>]>(...words: Words) =>
  key(
    Schema.Array(Schema.Literal(...words)).pipe(
      Schema.filter((chosen) => new Set(chosen).size === chosen.length)
    ),
    {
      allowed: `a list of ${words.join(", ")}, each at most once`,
      read: readList,
      json: { type: "array", items: { enum: words }, uniqueItems: true }
    }
  )

export const oneOfNumbers = <const Numbers extends readonly [number, ...Array<number>]>(
  ...numbers: Numbers
) =>
  key(Schema.Literal(...numbers), {
    allowed: `one of ${numbers.join(", ")}`,
    read: readNumber,
    json: { enum: numbers }
  })

export const text = (allowed: string, pattern: RegExp = /./) =>
  key(Schema.String.pipe(Schema.pattern(pattern)), {
    allowed,
    json: { type: "string", pattern: pattern.source }
  })

/** A text that is one of the allowed by a test of its own. */
export const checked = (isAllowed: (text: string) => boolean, allowed: string) =>
  key(Schema.String.pipe(Schema.filter(isAllowed)), { allowed, json: { type: "string" } })

export const texts = (allowed: string, pattern: RegExp = /./) =>
  key(Schema.Array(Schema.String.pipe(Schema.pattern(pattern))), {
    allowed,
    read: readList,
    json: { type: "array", items: { type: "string", pattern: pattern.source } }
  })

/** A list of texts, each of which is one of the allowed by a test of its own. */
export const checkedTexts = (isAllowed: (text: string) => boolean, allowed: string) =>
  key(Schema.Array(Schema.String.pipe(Schema.filter(isAllowed))), {
    allowed,
    read: readList,
    json: { type: "array", items: { type: "string" } }
  })

/** Secrets and keys come this way: in the clear only from this machine. */
const safeUrl = /^$|^https:\/\/(?![^/?#]*@)|^http:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d+)?([/?#]|$)/

/** Where something is asked or sent; "" where nothing is. */
export const optionalUrl = text('an https: URL (http: on this machine only), or ""', safeUrl)

/** Text that must not be seen: the value is `Redacted`, and neither errors nor `heddle config` show it. */
export const secret = (allowed: string) =>
  key(Schema.Redacted(Schema.NonEmptyString), {
    allowed,
    secret: true,
    json: { type: "string", minLength: 1 }
  })

/** The same, and "" where there is none. */
export const secretOrNone = (allowed: string) =>
  key(Schema.Redacted(Schema.String), {
    allowed: `${allowed}, or ""`,
    secret: true,
    json: { type: "string" }
  })

const isNetwork = (network: string): boolean => {
  try {
    return new CidrSet([network]) !== undefined
  } catch {
    return false
  }
}

export const networks = key(Schema.Array(Schema.String.pipe(Schema.filter(isNetwork))), {
  allowed: 'a list of addresses or networks such as ["10.0.0.0/8", "::1"]',
  read: readList,
  json: { type: "array", items: { type: "string" } }
})

/** A list of objects; an environment variable gives it as JSON. */
export const listOf = <A, I>(item: Schema.Schema<A, I>, allowed: string) =>
  key(Schema.Array(item), {
    allowed,
    read: readJson,
    json: { type: "array", items: jsonOf(item) }
  })

/** Without the heading of a document. The item refers to no other, so it can stand anywhere. */
const jsonOf = <A, I>(item: Schema.Schema<A, I>): JsonSchema => {
  const { $schema, ...rest } = JSONSchema.make(item)
  return rest
}

/** A schema between a written and a meant form, where `decode` answers undefined to what it refuses. */
const converted = <A, I, R>(
  from: Schema.Schema<I>,
  to: Schema.Schema<A, R>,
  by: { readonly decode: (value: I) => A | undefined; readonly encode: (value: A) => I }
): Schema.Schema<A, I> =>
  Schema.transformOrFail(from, Schema.typeSchema(to), {
    strict: true,
    decode: (value, _, ast) => {
      const meant = by.decode(value)
      return meant === undefined
        ? ParseResult.fail(new ParseResult.Type(ast, value))
        : ParseResult.succeed(meant)
    },
    encode: (value) => ParseResult.succeed(by.encode(value))
  })
