/**
 * As much of JSON Schema (draft 7) as our own schema uses. A keyword that is not known here throws, so that
 * nothing is taken for checked that is not.
 */

import { isDeepStrictEqual } from "node:util"

type Schema = Readonly<Record<string, unknown>>

/** What is wrong, as `/path: keyword`. */
export const violationsOf = (schema: Schema, value: unknown, path = ""): ReadonlyArray<string> =>
  Object.entries(schema).flatMap(([keyword, operand]) => {
    const check = keywords[keyword]
    if (check === undefined) throw new TypeError(`JSON Schema keyword ${keyword} is not known here`)
    return check({ operand, value, path, schema }).map((violation) =>
      violation === "" ? `${path || "/"}: ${keyword}` : violation
    )
  })

interface Case {
  readonly operand: unknown
  readonly value: unknown
  readonly path: string
  readonly schema: Schema
}

/** Violations of what is inside as they are; "" for one of the keyword itself. */
type Check = (given: Case) => ReadonlyArray<string>

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const unless = (holds: boolean): ReadonlyArray<string> => (holds ? [] : [""])

const annotation: Check = () => []

const typeOf = (value: unknown): ReadonlyArray<string> => {
  if (Number.isInteger(value)) return ["integer", "number"]
  return [value === null ? "null" : Array.isArray(value) ? "array" : typeof value]
}

const keywords: Readonly<Record<string, Check>> = {
  $schema: annotation,
  title: annotation,
  description: annotation,
  default: annotation,
  type: ({ operand, value }) => unless(typeOf(value).includes(String(operand))),
  enum: ({ operand, value }) => unless((operand as ReadonlyArray<unknown>).includes(value)),
  minimum: ({ operand, value }) => unless(typeof value !== "number" || value >= Number(operand)),
  maximum: ({ operand, value }) => unless(typeof value !== "number" || value <= Number(operand)),
  minLength: ({ operand, value }) => unless(typeof value !== "string" || value.length >= Number(operand)),
  minItems: ({ operand, value }) => unless(!Array.isArray(value) || value.length >= Number(operand)),
  pattern: ({ operand, value }) =>
    unless(typeof value !== "string" || new RegExp(String(operand), "u").test(value)),
  uniqueItems: ({ value }) =>
    unless(
      !Array.isArray(value) ||
        value.every((item, index) => value.findIndex((other) => isDeepStrictEqual(other, item)) === index)
    ),
  items: ({ operand, path, value }) =>
    Array.isArray(value)
      ? value.flatMap((item, index) => violationsOf(operand as Schema, item, `${path}/${index}`))
      : [],
  anyOf: ({ operand, path, value }) =>
    unless((operand as ReadonlyArray<Schema>).some((one) => violationsOf(one, value, path).length === 0)),
  required: ({ operand, value }) =>
    unless(
      !isRecord(value) || (operand as ReadonlyArray<string>).every((name) => Object.hasOwn(value, name))
    ),
  properties: ({ operand, path, value }) =>
    isRecord(value)
      ? Object.entries(operand as Readonly<Record<string, Schema>>).flatMap(([name, member]) =>
          Object.hasOwn(value, name) ? violationsOf(member, value[name], `${path}/${name}`) : []
        )
      : [],
  additionalProperties: ({ operand, path, schema, value }) => {
    if (!isRecord(value)) return []
    const known = Object.keys((schema.properties ?? {}) as object)
    const others = Object.keys(value).filter((name) => !known.includes(name))
    return operand === false
      ? others.map((name) => `${path}/${name}: additionalProperties`)
      : others.flatMap((name) => violationsOf(operand as Schema, value[name], `${path}/${name}`))
  },
  propertyNames: ({ operand, path, value }) =>
    isRecord(value)
      ? Object.keys(value).flatMap((name) => violationsOf(operand as Schema, name, `${path}/${name}`))
      : []
}
