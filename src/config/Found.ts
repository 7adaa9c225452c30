/** What was found of a configuration on the way to it: values by key, names, problems. */

import type { Problem } from "../values/Problem.ts"
import type { NamedSectionName } from "./Keys.ts"

export interface Entry {
  /** As written in the file, or as a file would say it. */
  readonly value: unknown
  /** The file's name, the environment variable, or "default". */
  readonly source: string
}

export type Entries = Map<string, Entry>

export interface Found {
  readonly entries: Entries
  readonly problems: Array<Problem>
  /** Listeners and tenants that the file or the environment name. */
  readonly names: Readonly<Record<NamedSectionName, Set<string>>>
}

/** The variable that names the file itself; it is no key. */
export const fileVariable = "HEDDLE_CONFIG"

/** A key, and the environment variable if that is where the value stands: there it has to be mended. */
export const keyAndSource = (path: string, entry: Entry | undefined): string =>
  entry?.source.startsWith("HEDDLE_") === true ? `${path} (from ${entry.source})` : path
