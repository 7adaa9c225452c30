/**
 * The keys of the configuration as paths, read off the schema: `limits.packetBytesMax`,
 * `listeners.NAME.port`, `tenants.NAME.publishRate`.
 *
 * Listeners and tenants have names that are the user's, so their keys are known relative to the name.
 */

import type * as SchemaAST from "effect/SchemaAST"
import { factsOf, type KeyFacts } from "../values/Key.ts"
import { ConfigSchema } from "./ConfigSchema.ts"
import { Listener, listenerNamePattern } from "./ListenerSchema.ts"
import { Tenant, tenantNamePattern } from "./TenantsSchema.ts"

/** One key that can have a value. */
export interface Leaf {
  /** Dotted: `limits.packetBytesMax`; of a listener's key, what follows the name: `tls.cert`. */
  readonly path: string
  readonly ast: SchemaAST.AST
  readonly facts: KeyFacts
}

/** The names that may stand in a section, with what each leads to. Undefined for a key that has a value. */
export const membersOf = (ast: SchemaAST.AST): ReadonlyMap<string, SchemaAST.AST> | undefined =>
  ast._tag === "TypeLiteral" && factsOf(ast) === undefined
    ? new Map(ast.propertySignatures.map((property) => [String(property.name), property.type]))
    : undefined

const leavesOf = (ast: SchemaAST.AST, path: ReadonlyArray<string>): ReadonlyArray<Leaf> => {
  const members = membersOf(ast)
  if (members !== undefined)
    return [...members].flatMap(([name, member]) => leavesOf(member, [...path, name]))
  return [{ path: path.join("."), ast, facts: factsOf(ast)! }]
}

/** Every key outside `listeners` and `tenants`. */
export const fixedLeaves: ReadonlyArray<Leaf> = leavesOf(ConfigSchema.ast, [])

/** Every key of one listener. */
export const listenerLeaves: ReadonlyArray<Leaf> = leavesOf(Listener.ast, [])

/** Every key of one tenant. */
export const tenantLeaves: ReadonlyArray<Leaf> = leavesOf(Tenant.ast, [])

/** A section whose members have names of the user's. */
export interface NamedSection {
  readonly member: SchemaAST.AST
  readonly leaves: ReadonlyArray<Leaf>
  readonly pattern: RegExp
  /** What is wrong with a name that the pattern does not have. */
  readonly wrongName: string
}

export const namedSections = {
  listeners: {
    member: Listener.ast,
    leaves: listenerLeaves,
    pattern: listenerNamePattern,
    wrongName: "a listener's name is made of lower-case letters, digits and -"
  },
  tenants: {
    member: Tenant.ast,
    leaves: tenantLeaves,
    pattern: tenantNamePattern,
    wrongName: "a tenant's name has at most 200 characters, all of which can be seen"
  }
} satisfies Readonly<Record<string, NamedSection>>

export type NamedSectionName = keyof typeof namedSections

export const namedSectionOf = (key: string): NamedSectionName | undefined =>
  Object.hasOwn(namedSections, key) ? (key as NamedSectionName) : undefined

/** The key of a path: names joined by dots, in quotes where a name of the user's has others' characters. */
export const keyOf = (path: ReadonlyArray<string>): string =>
  path.map((name) => (/^[\w-]+$/.test(name) ? name : JSON.stringify(name))).join(".")

/** The path of a key that `keyOf` made. */
export const pathOf = (key: string): ReadonlyArray<string> =>
  (key.match(/"(?:[^"\\]|\\.)*"|[^.]+/g) ?? []).map((name) =>
    name.startsWith('"') ? String(JSON.parse(name)) : name
  )

/** What the schema says of a key; undefined for one that does not exist. */
export const leafOf = (key: string): Leaf | undefined => {
  const [section = "", , ...rest] = pathOf(key)
  const named = namedSectionOf(section)
  return named === undefined
    ? fixedByPath.get(key)
    : namedSections[named].leaves.find(({ path }) => path === rest.join("."))
}

const fixedByPath: ReadonlyMap<string, Leaf> = new Map(fixedLeaves.map((leaf) => [leaf.path, leaf]))

/** The environment variable of a key: `HEDDLE_LIMITS_PACKET_BYTES_MAX`. */
export const variableOf = (path: string): string => `HEDDLE_${upperSnake(path)}`

/** `tls.clientCertificates` as it stands in an environment variable: `TLS_CLIENT_CERTIFICATES`. */
export const upperSnake = (path: string): string =>
  path
    .replace(/([a-z0-9])([A-Z])/g, "$1_$2")
    .replace(/[.-]/g, "_")
    .toUpperCase()
