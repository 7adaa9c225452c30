/**
 * Finds the value of every key: environment before file before default, and every problem on the way.
 *
 * Pure. The file comes as parsed data, the environment as a record. A value stays as it was written until the
 * end, when the schema decodes them all at once; so what `heddle config` prints is what a file would say.
 */

import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type * as SchemaAST from "effect/SchemaAST"
import { valueProblem } from "../values/Key.ts"
import { type Problem, shown, suggest } from "../values/Problem.ts"
import { authenticationConflicts } from "./AuthenticationSchema.ts"
import { ConfigError } from "./ConfigError.ts"
import { type Config, ConfigSchema } from "./ConfigSchema.ts"
import { fixedLeaves, type Leaf, listenerLeaves, membersOf, upperSnake, variableOf } from "./Keys.ts"
import {
  defaultListenerNames,
  Listener,
  listenerConflicts,
  listenerDefaults,
  listenerNamePattern,
  misplacedKey,
  requiredKeys
} from "./ListenerSchema.ts"

/** Where a configuration comes from. */
export interface Sources {
  /** The file's name, for messages, and its parsed content. */
  readonly file?: { readonly name: string; readonly content: unknown }
  readonly env: Readonly<Record<string, string | undefined>>
}

export interface Entry {
  /** As written in the file, or as a file would say it. */
  readonly value: unknown
  /** The file's name, the environment variable, or "default". */
  readonly source: string
}

export interface Resolved {
  readonly config: Config
  /** Every key with its value and source, in the order of the schema. */
  readonly entries: ReadonlyMap<string, Entry>
}

type Entries = Map<string, Entry>

interface Found {
  readonly entries: Entries
  readonly problems: Array<Problem>
  /** Listeners that the file or the environment name. */
  readonly listeners: Set<string>
}

/** The variable that names the file itself; it is no key. */
export const fileVariable = "HEDDLE_CONFIG"

export const resolve = (sources: Sources): Either.Either<Resolved, ConfigError> => {
  const found: Found = { entries: new Map(), problems: [], listeners: new Set() }
  if (sources.file !== undefined) readFile(sources.file, found)
  if (found.listeners.size === 0) for (const name of defaultListenerNames) found.listeners.add(name)
  readEnvironment(sources.env, found)

  const entries: Entries = new Map()
  for (const name of found.listeners) resolveListener(name, found, entries)
  for (const leaf of fixedLeaves) resolveKey(leaf, leaf.path, new Map(), found, entries)
  checkWhole(entries, found.listeners, found.problems)

  const file = sources.file?.name
  return found.problems.length > 0
    ? Either.left(new ConfigError({ file, problems: found.problems }))
    : Either.right({ config: decode(entries), entries })
}

const readFile = (file: { readonly name: string; readonly content: unknown }, found: Found): void => {
  // An empty YAML file is null.
  readSection({ ast: ConfigSchema.ast, content: file.content ?? {}, path: [], file: file.name }, found)
}

interface Place {
  readonly ast: SchemaAST.AST
  readonly content: unknown
  readonly path: ReadonlyArray<string>
  readonly file: string
}

const readSection = ({ ast, content, path, file }: Place, found: Found): void => {
  const key = path.join(".")
  const members = membersOf(ast)
  if (members === undefined) {
    found.entries.set(key, { value: content, source: file })
    return
  }
  if (typeof content !== "object" || content === null || Array.isArray(content)) {
    const wrong = `${shown(content)} is not allowed; expected a section of keys`
    found.problems.push({ key: key === "" ? file : key, message: wrong })
    return
  }
  const isListeners = key === "listeners"
  for (const [name, value] of Object.entries(content)) {
    const memberPath = [...path, name]
    if (isListeners) {
      if (!isListenerName(name, memberPath.join("."), found.problems)) continue
      found.listeners.add(name)
    }
    const member = isListeners ? Listener.ast : members.get(name)
    if (member !== undefined) readSection({ ast: member, content: value, path: memberPath, file }, found)
    else {
      found.problems.push({
        key: memberPath.join("."),
        message: `unknown key; ${suggest(name, [...members.keys()])}`
      })
    }
  }
}

const isListenerName = (name: string, key: string, problems: Array<Problem>): boolean => {
  if (listenerNamePattern.test(name)) return true
  problems.push({ key, message: "a listener's name is made of lower-case letters, digits and -" })
  return false
}

const fixedVariables: ReadonlyMap<string, Leaf> = new Map(
  fixedLeaves.map((leaf) => [variableOf(leaf.path), leaf])
)

const listenerPrefix = "HEDDLE_LISTENERS_"

const readEnvironment = (env: Sources["env"], found: Found): void => {
  for (const [variable, text] of Object.entries(env)) {
    if (!variable.startsWith("HEDDLE_") || variable === fileVariable || text === undefined) continue
    const fixed = fixedVariables.get(variable)
    const listener = variable.startsWith(listenerPrefix)
      ? listenerKeyOf(variable, found.listeners)
      : undefined
    if (fixed !== undefined) {
      found.entries.set(fixed.path, { value: fixed.facts.read(text), source: variable })
    } else if (listener !== undefined) {
      const { name, leaf } = listener
      found.listeners.add(name)
      found.entries.set(`listeners.${name}.${leaf.path}`, { value: leaf.facts.read(text), source: variable })
    } else {
      found.problems.push({
        key: variable,
        message: `unknown variable; ${suggest(variable, variablesKnown(found))}`
      })
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
  ...[...found.listeners].flatMap((name) =>
    listenerLeaves.map((leaf) => variableOf(`listeners.${name}.${leaf.path}`))
  )
]

const resolveListener = (name: string, found: Found, entries: Entries): void => {
  const at = (key: string) => `listeners.${name}.${key}`
  const defaults = listenerDefaults(name, found.entries.get(at("transport"))?.value)
  const transport = found.entries.get(at("transport"))?.value ?? defaults.get("transport")
  if (transport === undefined) {
    found.problems.push({ key: at("transport"), message: `is required; expected ${allowedTransport}` })
  }
  const usesTls = listenerLeaves.some(
    (leaf) => leaf.path.startsWith("tls.") && found.entries.has(at(leaf.path))
  )
  for (const leaf of listenerLeaves) {
    const given = found.entries.get(at(leaf.path))
    const misplaced = given === undefined ? undefined : misplacedKey(leaf.path, transport)
    if (misplaced !== undefined)
      found.problems.push({ key: keyAndSource(at(leaf.path), given), message: misplaced })
    else if (given === undefined && leaf.path.startsWith("tls.") && !usesTls) continue
    else resolveKey(leaf, at(leaf.path), defaults, found, entries)
  }
  for (const key of requiredKeys(transport)) {
    if (!entries.has(at(key))) {
      found.problems.push({ key: at(key), message: `is required for transport ${transport}` })
    }
  }
  for (const [key, wrong] of listenerConflicts((path) => entries.get(at(path))?.value)) {
    found.problems.push({ key: keyAndSource(at(key), entries.get(at(key))), message: wrong })
  }
}

const allowedTransport = listenerLeaves.find((leaf) => leaf.path === "transport")!.facts.allowed

const resolveKey = (
  leaf: Leaf,
  path: string,
  defaults: ReadonlyMap<string, unknown>,
  found: Found,
  entries: Entries
): void => {
  const given = found.entries.get(path)
  const entry = given ?? { value: defaults.get(leaf.path) ?? leaf.facts.default, source: "default" }
  if (entry.value === undefined) return
  const decoded = Schema.decodeUnknownEither(Schema.make(leaf.ast))(entry.value, {
    onExcessProperty: "error"
  })
  if (Either.isRight(decoded)) {
    entries.set(path, entry)
    return
  }
  found.problems.push({ key: keyAndSource(path, given), message: valueProblem(leaf.ast, entry.value) })
}

/** A key, and the environment variable if that is where the value stands: there it has to be mended. */
const keyAndSource = (path: string, entry: Entry | undefined): string =>
  entry?.source.startsWith("HEDDLE_") === true ? `${path} (from ${entry.source})` : path

/** Rules between sections and between listeners. */
const checkWhole = (entries: Entries, listeners: ReadonlySet<string>, problems: Array<Problem>): void => {
  const valueOf = (path: string) => entries.get(path)?.value
  const enabled = [...listeners].filter((name) => valueOf(`listeners.${name}.enabled`) !== false)
  if (enabled.length === 0) problems.push({ key: "listeners", message: "at least one must be enabled" })

  const owners = new Map<string, string>()
  for (const name of enabled) {
    const at = (key: string) => valueOf(`listeners.${name}.${key}`)
    const port = at("port")
    const address =
      at("transport") === "unix" ? at("path") : port === 0 ? undefined : `${at("host")} port ${port}`
    if (typeof address !== "string") continue
    const owner = owners.get(address)
    if (owner === undefined) owners.set(address, name)
    else
      problems.push({
        key: `listeners.${name}`,
        message: `listens on ${address}, as does listeners.${owner}`
      })
  }

  for (const [key, wrong] of authenticationConflicts((path) => valueOf(`authentication.${path}`))) {
    const path = `authentication.${key}`
    problems.push({ key: keyAndSource(path, entries.get(path)), message: wrong })
  }

  const [min, max] = [valueOf("session.keepAliveMin"), valueOf("session.keepAliveMax")]
  if (typeof min === "number" && typeof max === "number" && min > max) {
    problems.push({
      key: "session.keepAliveMin",
      message: `${min} is more than session.keepAliveMax, ${max}`
    })
  }
}

const decode = (entries: Entries): Config => {
  const root = new Map<string, unknown>()
  for (const [path, { value }] of entries) {
    const names = path.split(".")
    let section = root
    for (const name of names.slice(0, -1)) {
      const inner = section.get(name) ?? new Map<string, unknown>()
      section.set(name, inner)
      section = inner as Map<string, unknown>
    }
    section.set(names.at(-1)!, value)
  }
  return Schema.decodeUnknownSync(ConfigSchema)(toObject(root), { onExcessProperty: "error" })
}

const toObject = (section: ReadonlyMap<string, unknown>): unknown =>
  Object.fromEntries(
    [...section].map(([name, value]) => [name, value instanceof Map ? toObject(value) : value])
  )
