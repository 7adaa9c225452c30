/**
 * The configuration as text: the effective one in YAML for `heddle config`, and the table of all keys for the
 * manual.
 */

import { fixedLeaves, type Leaf, listenerLeaves } from "./Keys.ts"
import { misplacedKey } from "./ListenerSchema.ts"
import type { Entry, Resolved } from "./Resolution.ts"

type Tree = Map<string, Tree | Entry>

/**
 * The effective configuration as a YAML file that says the same. What is not a default carries where it came
 * from as a comment. Secrets are not shown.
 */
export const configurationYaml = (entries: Resolved["entries"]): string => {
  const root: Tree = new Map()
  for (const [path, entry] of entries) {
    const listener = listenerKey(path)
    const transport = listener && entries.get(`listeners.${listener.name}.transport`)?.value
    if (listener !== undefined && misplacedKey(listener.key, transport) !== undefined) continue
    const isSecret = secretKeys.has(listener?.key ?? path) && entry.value !== ""
    insert(root, path.split("."), isSecret ? { ...entry, value: "<redacted>" } : entry)
  }
  return yamlOf(root, "")
}

const listenerKey = (path: string): { readonly name: string; readonly key: string } | undefined => {
  const match = /^listeners\.([^.]+)\.(.+)$/.exec(path)
  return match === null ? undefined : { name: match[1]!, key: match[2]! }
}

const secretKeys = new Set(
  [...fixedLeaves, ...listenerLeaves].filter((leaf) => leaf.facts.secret).map((leaf) => leaf.path)
)

const insert = (tree: Tree, names: ReadonlyArray<string>, entry: Entry): void => {
  let section = tree
  for (const name of names.slice(0, -1)) {
    const inner = section.get(name)
    if (inner instanceof Map) section = inner
    else section.set(name, (section = new Map()))
  }
  section.set(names.at(-1)!, entry)
}

const yamlOf = (tree: Tree, indent: string): string =>
  [...tree]
    .map(([name, node]) => {
      if (node instanceof Map) return `${indent}${name}:\n${yamlOf(node, `${indent}  `)}`
      const comment = node.source === "default" ? "" : ` # ${node.source}`
      return `${indent}${name}: ${scalar(node.value)}${comment}\n`
    })
    .join("")

/** JSON is YAML, and a word that YAML takes for nothing else needs no quotes. */
const scalar = (value: unknown): string =>
  typeof value === "string" && /^[\w/.][\w/.-]*$/.test(value) && Bun.YAML.parse(value) === value
    ? value
    : JSON.stringify(value)

/**
 * The table of every key in Markdown. A key's environment variable is not in it: it is `HEDDLE_` and the key
 * in upper snake case.
 */
export const configurationTable = (): string => {
  const rows = [
    ...listenerLeaves.map((leaf) => row(leaf, `listeners.NAME.${leaf.path}`)),
    ...fixedLeaves.map((leaf) => row(leaf, leaf.path))
  ]
  return ["| Key | Default | Allowed | Meaning |", "| --- | --- | --- | --- |", ...rows].join("\n")
}

const row = ({ facts }: Leaf, key: string): string => {
  const shownDefault = facts.default === undefined ? "" : `\`${scalar(facts.default)}\``
  const cells = [`\`${key}\``, shownDefault, facts.allowed, facts.description]
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`
}
