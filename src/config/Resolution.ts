/**
 * Finds the value of every key: environment before file before default, and every problem on the way.
 *
 * Pure. The file comes as parsed data, the environment as a record. A value stays as it was written until the
 * end, when the schema decodes them all at once; so what `heddle config` prints is what a file would say.
 */

import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type * as SchemaAST from "effect/SchemaAST"
import { type SettingOverrides, settingConflicts } from "../tenant/settings/overrides.ts"
import { valueProblem } from "../values/Key.ts"
import { type Problem, shown, suggest } from "../values/Problem.ts"
import { authenticationConflicts } from "./AuthenticationSchema.ts"
import { ConfigError } from "./ConfigError.ts"
import { type Config, ConfigSchema } from "./ConfigSchema.ts"
import { type Environment, readEnvironment } from "./Environment.ts"
import { type Entries, type Entry, type Found, keyAndSource } from "./Found.ts"
import {
  fixedLeaves,
  keyOf,
  type Leaf,
  listenerLeaves,
  membersOf,
  namedSectionOf,
  namedSections,
  pathOf,
  tenantLeaves
} from "./Keys.ts"
import {
  defaultListenerNames,
  listenerConflicts,
  listenerDefaults,
  misplacedKey,
  requiredKeys
} from "./ListenerSchema.ts"

/** Where a configuration comes from. */
export interface Sources {
  /** The file's name, for messages, and its parsed content. */
  readonly file?: { readonly name: string; readonly content: unknown }
  readonly env: Environment
}

export interface Resolved {
  readonly config: Config
  /** Every key with its value and source, in the order of the schema. */
  readonly entries: ReadonlyMap<string, Entry>
}

export const resolve = (sources: Sources): Either.Either<Resolved, ConfigError> => {
  const found: Found = {
    entries: new Map(),
    problems: [],
    names: { listeners: new Set(), tenants: new Set() }
  }
  if (sources.file !== undefined) readFile(sources.file, found)
  const { listeners, tenants } = found.names
  if (listeners.size === 0) for (const name of defaultListenerNames) listeners.add(name)
  readEnvironment(sources.env, found)

  const entries: Entries = new Map()
  for (const name of listeners) resolveListener(name, found, entries)
  for (const leaf of fixedLeaves) resolveKey({ leaf, path: leaf.path, found, entries })
  const overrides = resolveTenants(tenants, found, entries)
  checkWhole(entries, overrides, found)

  const file = sources.file?.name
  return found.problems.length > 0
    ? Either.left(new ConfigError({ file, problems: found.problems }))
    : Either.right({ config: decode(entries, overrides), entries })
}

/** What is said of each tenant, decoded. */
type Overrides = ReadonlyMap<string, Config["tenants"][string]>

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
  const key = keyOf(path)
  const members = membersOf(ast)
  if (members === undefined) {
    found.entries.set(key, { value: content, source: file })
    return
  }
  const named = namedSectionOf(key)
  // A member that says nothing of itself (`acme:`) is there all the same.
  const given = content === null && path.length === 2 && namedSectionOf(path[0]!) !== undefined ? {} : content
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    const wrong = `${shown(content)} is not allowed; expected a section of keys`
    found.problems.push({ key: key === "" ? file : key, message: wrong })
    return
  }
  for (const [name, value] of Object.entries(given)) {
    const memberPath = [...path, name]
    if (named !== undefined) {
      const { member, pattern, wrongName } = namedSections[named]
      if (!pattern.test(name)) found.problems.push({ key: keyOf(memberPath), message: wrongName })
      else {
        found.names[named].add(name)
        readSection({ ast: member, content: value, path: memberPath, file }, found)
      }
      continue
    }
    const member = members.get(name)
    if (member !== undefined) readSection({ ast: member, content: value, path: memberPath, file }, found)
    else {
      found.problems.push({
        key: keyOf(memberPath),
        message: `unknown key; ${suggest(name, [...members.keys()])}`
      })
    }
  }
}

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
    else resolveKey({ leaf, path: at(leaf.path), otherwise: defaults.get(leaf.path), found, entries })
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

/**
 * A tenant has its state and what is said of it; the rest is what `session` says for all. There may be tens
 * of thousands, so only keys that are there are looked at, and each is decoded once.
 */
const resolveTenants = (names: ReadonlySet<string>, found: Found, entries: Entries): Overrides => {
  const said = new Map([...names].map((name): [string, Set<string>] => [name, new Set(["state"])]))
  for (const key of found.entries.keys()) {
    if (!key.startsWith("tenants.")) continue
    const [, name = "", leaf = ""] = pathOf(key)
    said.get(name)?.add(leaf)
  }
  return new Map(
    [...said].map(([name, leaves]) => {
      const tenant = keyOf(["tenants", name])
      const decoded = [...leaves].map((path) => {
        const leaf = tenantLeavesByPath.get(path)!
        return [path, resolveKey({ leaf, path: `${tenant}.${path}`, found, entries })]
      })
      return [name, Object.fromEntries(decoded)]
    })
  )
}

const tenantLeavesByPath: ReadonlyMap<string, Leaf> = new Map(tenantLeaves.map((leaf) => [leaf.path, leaf]))

interface Resolving {
  readonly leaf: Leaf
  readonly path: string
  /** Goes before the schema's default. */
  readonly otherwise?: unknown
  readonly found: Found
  readonly entries: Entries
}

/** The decoded value; undefined when there is none, or none that is allowed. */
const resolveKey = ({ entries, found, leaf, otherwise, path }: Resolving): unknown => {
  const given = found.entries.get(path)
  const entry = given ?? { value: otherwise ?? leaf.facts.default, source: "default" }
  if (entry.value === undefined) return undefined
  const decoded = decodeLeaf(leaf, entry.value)
  if (Either.isRight(decoded)) {
    entries.set(path, entry)
    return decoded.right
  }
  found.problems.push({ key: keyAndSource(path, given), message: valueProblem(leaf.ast, entry.value) })
  return undefined
}

const decodeLeaf = (leaf: Leaf, value: unknown) =>
  Schema.decodeUnknownEither(Schema.make<unknown>(leaf.ast))(value, { onExcessProperty: "error" })

/** Rules between sections and between listeners. */
const checkWhole = (entries: Entries, overrides: Overrides, { names, problems }: Found): void => {
  const valueOf = (path: string) => entries.get(path)?.value
  problems.push(...listenersInConflict([...names.listeners], valueOf))
  for (const [key, wrong] of authenticationConflicts((path) => valueOf(`authentication.${path}`))) {
    const path = `authentication.${key}`
    problems.push({ key: keyAndSource(path, entries.get(path)), message: wrong })
  }
  const session = settingsOfAll(entries)
  const conflicts = settingConflicts(session)
  for (const { key, message } of conflicts) problems.push({ key: `session.${key}`, message })
  // What all tenants have in conflict is told once.
  if (conflicts.length > 0) return
  for (const [name, { state, ...own }] of overrides) {
    for (const { key, message } of settingConflicts(own, session)) {
      problems.push({ key: keyOf(["tenants", name, key]), message })
    }
  }
}

const settingsOfAll = (entries: Entries): SettingOverrides =>
  Object.fromEntries(
    tenantLeaves.flatMap((leaf) => {
      const entry = entries.get(`session.${leaf.path}`)
      const decoded = entry === undefined ? undefined : decodeLeaf(leaf, entry.value)
      return decoded !== undefined && Either.isRight(decoded) ? [[leaf.path, decoded.right]] : []
    })
  )

const listenersInConflict = (
  listeners: ReadonlyArray<string>,
  valueOf: (path: string) => unknown
): ReadonlyArray<Problem> => {
  const enabled = listeners.filter((name) => valueOf(`listeners.${name}.enabled`) !== false)
  if (enabled.length === 0) return [{ key: "listeners", message: "at least one must be enabled" }]
  const owners = new Map<string, string>()
  return enabled.flatMap((name) => {
    const at = (key: string) => valueOf(`listeners.${name}.${key}`)
    const port = at("port")
    const address =
      at("transport") === "unix" ? at("path") : port === 0 ? undefined : `${at("host")} port ${port}`
    if (typeof address !== "string") return []
    const owner = owners.get(address)
    if (owner === undefined) owners.set(address, name)
    return owner === undefined
      ? []
      : [{ key: `listeners.${name}`, message: `listens on ${address}, as does listeners.${owner}` }]
  })
}

const decode = (entries: Entries, overrides: Overrides): Config => {
  const root = new Map<string, unknown>([["tenants", new Map()]])
  for (const [key, { value }] of entries) {
    if (key.startsWith("tenants.")) continue
    const names = pathOf(key)
    let section = root
    for (const name of names.slice(0, -1)) {
      const inner = section.get(name) ?? new Map<string, unknown>()
      section.set(name, inner)
      section = inner as Map<string, unknown>
    }
    section.set(names.at(-1)!, value)
  }
  const config = Schema.decodeUnknownSync(ConfigSchema)(toObject(root), { onExcessProperty: "error" })
  return { ...config, tenants: Object.fromEntries(overrides) }
}

const toObject = (section: ReadonlyMap<string, unknown>): unknown =>
  Object.fromEntries(
    [...section].map(([name, value]) => [name, value instanceof Map ? toObject(value) : value])
  )
