/**
 * What two configurations differ in, and which of it can be put in force while the broker runs.
 *
 * Values are compared by what they mean: "1MB" is 1048576. Secrets are compared and never shown.
 */

import * as Schema from "effect/Schema"
import { shown } from "../values/Problem.ts"
import { type Leaf, leafOf, namedSectionOf } from "./Keys.ts"
import type { Resolved } from "./Resolution.ts"

type Entries = Resolved["entries"]

export interface Change {
  /** A key; or a listener or tenant that has come or gone: `tenants.acme`. */
  readonly key: string
  /** The key and what became of it, for people. */
  readonly text: string
  /** Whether it can be put in force without a restart. */
  readonly isLive: boolean
}

/** Sections and keys that a running broker can take up. Everything else is as it was at the start. */
const live: ReadonlyArray<string> = [
  "listeners",
  "authentication",
  "authorization",
  "limits",
  "session",
  "tenancy",
  "tenants",
  "shutdown",
  "tracing.ratio",
  "tracing.honourPublishers",
  "log.level"
]

export const isLiveKey = (key: string): boolean =>
  live.some((section) => key === section || key.startsWith(`${section}.`))

/** In the order of the later configuration; what has gone comes last. */
export const changesBetween = (before: Entries, after: Entries): ReadonlyArray<Change> => {
  const [had, has] = [membersIn(before), membersIn(after)]
  const changes: Array<Change> = []
  const told = new Set<string>()
  const tell = (key: string, what: string): void => {
    if (told.has(key)) return
    told.add(key)
    changes.push({ key, text: `${key}${what}`, isLive: isLiveKey(key) })
  }
  for (const [key, { value }] of after) {
    const old = before.get(key)?.value
    if (isSame(key, old, value)) continue
    const member = memberOf(key)
    if (member !== undefined && !had.has(member)) tell(member, " added")
    else tell(key, `: ${textOf(key, old)} -> ${textOf(key, value)}`)
  }
  for (const [key, { value }] of before) {
    if (after.has(key)) continue
    const member = memberOf(key)
    if (member !== undefined && !has.has(member)) tell(member, " removed")
    else tell(key, `: ${textOf(key, value)} -> none`)
  }
  return changes
}

/** The later configuration as far as it is in force: what needs a restart is as it was. */
export const inForce = (before: Entries, after: Entries): Entries => {
  const entries = new Map([...after].filter(([key]) => isLiveKey(key)))
  for (const [key, entry] of before) if (!isLiveKey(key)) entries.set(key, entry)
  return entries
}

/** Whether anything of a section differs. */
export const hasChanged = (before: Entries, after: Entries, section: string): boolean => {
  const within = (entries: Entries) =>
    [...entries].filter(([key]) => key === section || key.startsWith(`${section}.`))
  const [old, next] = [within(before), within(after)]
  return (
    old.length !== next.length || next.some(([key, { value }]) => !isSame(key, before.get(key)?.value, value))
  )
}

/** The listener or tenant that a key is of. */
const memberOf = (key: string): string | undefined => {
  const [member, section = ""] = /^(\w+)\.(?:"(?:[^"\\]|\\.)*"|[^.]+)/.exec(key) ?? []
  return namedSectionOf(section) === undefined ? undefined : member
}

const membersIn = (entries: Entries): ReadonlySet<string> =>
  new Set([...entries.keys()].flatMap((key) => memberOf(key) ?? []))

const isSame = (key: string, a: unknown, b: unknown): boolean => {
  if (a === b || JSON.stringify(a) === JSON.stringify(b)) return true
  if (a === undefined || b === undefined) return false
  const leaf = leafOf(key)
  return leaf !== undefined && meaningOf(leaf, a) === meaningOf(leaf, b)
}

/** A value in the one way in which its schema writes it. */
const meaningOf = ({ ast }: Leaf, value: unknown): string => {
  const schema = Schema.make<unknown, unknown>(ast)
  return JSON.stringify(Schema.encodeSync(schema)(Schema.decodeUnknownSync(schema)(value)))
}

const textOf = (key: string, value: unknown): string => {
  if (value === undefined) return "none"
  return leafOf(key)?.facts.secret === true && value !== "" ? "<redacted>" : shown(value)
}
