/**
 * The keys of the configuration as paths, read off the schema: `limits.packetBytesMax`,
 * `listeners.NAME.port`.
 *
 * A listener's keys are known relative to the listener, because its name is the user's.
 */

import type * as SchemaAST from "effect/SchemaAST"
import { factsOf, type KeyFacts } from "../values/Key.ts"
import { ConfigSchema } from "./ConfigSchema.ts"
import { Listener } from "./ListenerSchema.ts"

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

/** Every key outside `listeners`. */
export const fixedLeaves: ReadonlyArray<Leaf> = leavesOf(ConfigSchema.ast, [])

/** Every key of one listener. */
export const listenerLeaves: ReadonlyArray<Leaf> = leavesOf(Listener.ast, [])

/** The environment variable of a key: `HEDDLE_LIMITS_PACKET_BYTES_MAX`. */
export const variableOf = (path: string): string => `HEDDLE_${upperSnake(path)}`

/** `tls.clientCertificates` as it stands in an environment variable: `TLS_CLIENT_CERTIFICATES`. */
export const upperSnake = (path: string): string =>
  path
    .replace(/([a-z0-9])([A-Z])/g, "$1_$2")
    .replace(/[.-]/g, "_")
    .toUpperCase()
