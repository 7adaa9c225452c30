/**
 * The configuration file as JSON Schema, for editors that complete and check what is written.
 *
 * It knows every key and what each accepts. Rules between keys are left to the loader.
 */

import type * as SchemaAST from "effect/SchemaAST"
import { factsOf, type JsonSchema } from "../values/Key.ts"
import { ConfigSchema } from "./ConfigSchema.ts"
import { membersOf, namedSectionOf, namedSections } from "./Keys.ts"

export const configurationJsonSchema = (): JsonSchema => ({
  $schema: "http://json-schema.org/draft-07/schema#",
  title: "The configuration of a Heddle broker",
  ...ofMembers(membersOf(ConfigSchema.ast)!, (name, member) => {
    const named = namedSectionOf(name)
    return named === undefined ? ofSection(member) : ofNames(named)
  })
})

const ofSection = (ast: SchemaAST.AST): JsonSchema => {
  const members = membersOf(ast)
  return members === undefined ? ofKey(ast) : ofMembers(members, (_, member) => ofSection(member))
}

const ofMembers = (
  members: ReadonlyMap<string, SchemaAST.AST>,
  of: (name: string, member: SchemaAST.AST) => JsonSchema
): JsonSchema => ({
  type: "object",
  additionalProperties: false,
  properties: Object.fromEntries([...members].map(([name, member]) => [name, of(name, member)]))
})

const ofNames = (section: keyof typeof namedSections): JsonSchema => {
  const { member, pattern } = namedSections[section]
  return {
    type: "object",
    propertyNames: { pattern: pattern.source },
    // A member of which nothing is said (`acme:`) is null in YAML.
    additionalProperties: { anyOf: [ofSection(member), { type: "null" }] }
  }
}

const ofKey = (ast: SchemaAST.AST): JsonSchema => {
  const facts = factsOf(ast)!
  return {
    description: facts.description,
    ...(facts.default !== undefined && { default: facts.default }),
    ...facts.json
  }
}
