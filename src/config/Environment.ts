/**
 * The environment's part of a configuration: every key but those of tenants is also a variable, `HEDDLE_` and
 * the key in upper snake case.
 *
 * Tenants' names may be anything, so a variable could not say where the name ends: tenants stand in the file.
 */

import { suggest } from "../values/Problem.ts"
import { type Found, fileVariable } from "./Found.ts"
import { fixedLeaves, type Leaf, listenerLeaves, upperSnake, variableOf } from "./Keys.ts"
import { listenerNamePattern } from "./ListenerSchema.ts"

export type Environment = Readonly<Record<string, string | undefined>>

const fixedVariables: ReadonlyMap<string, Leaf> = new Map(
  fixedLeaves.map((leaf) => [variableOf(leaf.path), leaf])
)

const listenerPrefix = "HEDDLE_LISTENERS_"
const tenantPrefix = "HEDDLE_TENANTS"

/** Adds what the environment says, over what the file has said. */
export const readEnvironment = (env: Environment, found: Found): void => {
  for (const [variable, text] of Object.entries(env)) {
    if (!variable.startsWith("HEDDLE_") || variable === fileVariable || text === undefined) continue
    const fixed = fixedVariables.get(variable)
    const listener = variable.startsWith(listenerPrefix)
      ? listenerKeyOf(variable, found.names.listeners)
      : undefined
    if (fixed !== undefined) {
      found.entries.set(fixed.path, { value: fixed.facts.read(text), source: variable })
    } else if (listener !== undefined) {
      const { name, leaf } = listener
      found.names.listeners.add(name)
      found.entries.set(`listeners.${name}.${leaf.path}`, { value: leaf.facts.read(text), source: variable })
    } else {
      const message = variable.startsWith(tenantPrefix)
        ? "tenants are named in the configuration file, under `tenants`"
        : `unknown variable; ${suggest(variable, variablesKnown(found))}`
      found.problems.push({ key: variable, message })
    }
  }
}

/**
 * The listener and key of `HEDDLE_LISTENERS_<NAME>_<KEY>`. Both parts may contain `_`: a listener that exists
 * goes before one that the variable would make, and then the longest key.
 */
const listenerKeyOf = (
  variable: string,
  existing: ReadonlySet<string>
): { readonly name: string; readonly leaf: Leaf } | undefined => {
  const rest = variable.slice(listenerPrefix.length)
  const readings = listenerLeaves
    .map((leaf) => ({ leaf, suffix: `_${upperSnake(leaf.path)}` }))
    .filter(({ suffix }) => rest.endsWith(suffix))
    .map(({ leaf, suffix }) => ({
      leaf,
      name: rest.slice(0, -suffix.length).toLowerCase().replaceAll("_", "-")
    }))
    .filter(({ name }) => listenerNamePattern.test(name))
    .sort((a, b) => a.name.length - b.name.length)
  return readings.find(({ name }) => existing.has(name)) ?? readings[0]
}

const variablesKnown = (found: Found): ReadonlyArray<string> => [
  ...fixedVariables.keys(),
  fileVariable,
  ...[...found.names.listeners].flatMap((name) =>
    listenerLeaves.map((leaf) => variableOf(`listeners.${name}.${leaf.path}`))
  )
]
