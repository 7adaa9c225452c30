/**
 * The configuration as text: the effective one in YAML for `heddle config`, and the tables of all keys for
 * the manual.
 */

import { answersOf, limitOutcomes } from "../tenant/quota/outcomes.ts"
import { type SettingName, settingGroups, settingsTable } from "../tenant/TenantSettings.ts"
import { factsOf } from "../values/Key.ts"
import { redactedUrl } from "../values/publicUrl.ts"
import type { Entry } from "./Found.ts"
import { fixedLeaves, type Leaf, leafOf, listenerLeaves, pathOf, tenantLeaves } from "./Keys.ts"
import { misplacedKey } from "./ListenerSchema.ts"
import type { Resolved } from "./Resolution.ts"

type Tree = Map<string, Tree | Entry>

/**
 * The effective configuration as a YAML file that says the same. What is not a default carries where it came
 * from as a comment. Secrets are not shown.
 */
export const configurationYaml = (entries: Resolved["entries"]): string => {
  const root: Tree = new Map()
  for (const [key, entry] of entries) {
    const path = pathOf(key)
    const [section, name, ...rest] = path
    const transport = section === "listeners" && entries.get(`listeners.${name}.transport`)?.value
    if (transport !== false && misplacedKey(rest.join("."), transport) !== undefined) continue
    const isSecret = leafOf(key)?.facts.secret === true && entry.value !== ""
    insert(root, path, { ...entry, value: isSecret ? "<redacted>" : shownValue(entry.value) })
  }
  return yamlOf(root, "")
}

const shownValue = (value: unknown): unknown => (typeof value === "string" ? redactedUrl(value) : value)

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
      const key = `${indent}${/^[\w-]+$/.test(name) ? name : JSON.stringify(name)}:`
      if (node instanceof Map) return `${key}\n${yamlOf(node, `${indent}  `)}`
      const comment = node.source === "default" ? "" : ` # ${node.source}`
      return `${key} ${scalar(node.value)}${comment}\n`
    })
    .join("")

/** JSON is YAML, and a word that YAML takes for nothing else needs no quotes. */
const scalar = (value: unknown): string =>
  typeof value === "string" && /^[\w/.][\w/.-]*$/.test(value) && Bun.YAML.parse(value) === value
    ? value
    : JSON.stringify(value)

/**
 * The table of every key in Markdown, but for the settings of tenants. A key's environment variable is not in
 * it: it is `HEDDLE_` and the key in upper snake case.
 */
export const configurationTable = (): string => {
  const rows = [
    ...listenerLeaves.map((leaf) => row(leaf, `listeners.NAME.${leaf.path}`)),
    ...fixedLeaves.filter(({ path }) => !path.startsWith("session.")).map((leaf) => row(leaf, leaf.path)),
    ...tenantLeaves
      .filter(({ path }) => path === "state")
      .map((leaf) => row(leaf, `tenants.NAME.${leaf.path}`))
  ]
  return ["| Key | Default | Allowed | Meaning |", "| --- | --- | --- | --- |", ...rows].join("\n")
}

/** The tables of the tenants' settings, by what they are about. */
export const settingsTables = (): string =>
  settingGroups
    .map(({ names, title }) => {
      const rows = names.map((name: SettingName) => {
        const { applies, schema } = settingsTable[name]
        return row({ facts: factsOf(schema.ast)! }, name, applies)
      })
      const head = ["| Setting | Default | Allowed | Felt | Meaning |", "| --- | --- | --- | --- | --- |"]
      return [`**${title}**`, "", ...head, ...rows].join("\n")
    })
    .join("\n\n")

/** The table of what happens at the limits; those with one outcome share a row. */
export const limitsTable = (): string => {
  const rows = new Map<string, Array<string>>()
  for (const [resource, outcome] of Object.entries(limitOutcomes)) {
    const { v3, v5 } = answersOf(outcome)
    const row = `${outcome.at} | ${v3} | ${v5} | ${outcome.meaning} |`
    rows.set(row, [...(rows.get(row) ?? []), `\`${resource}\``])
  }
  const head = ["| Limit | At | Version 3 | Version 5 | What happens |", "| --- | --- | --- | --- | --- |"]
  return [...head, ...[...rows].map(([row, resources]) => `| ${resources.join(", ")} | ${row}`)].join("\n")
}

const row = ({ facts }: Pick<Leaf, "facts">, key: string, ...further: ReadonlyArray<string>): string => {
  const shownDefault = facts.default === undefined ? "" : `\`${scalar(facts.default)}\``
  const cells = [`\`${key}\``, shownDefault, facts.allowed, ...further, facts.description]
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`
}

/** The manual with its generated parts as they have to be. */
export const withGeneratedParts = (manual: string): string =>
  generatedParts.reduce(
    (text, { make, mark }) =>
      text.replace(
        new RegExp(`<!-- ${mark} -->[\\s\\S]*?<!-- /${mark} -->`),
        () => `<!-- ${mark} -->\n\n${make()}\n\n<!-- /${mark} -->`
      ),
    manual
  )

const generatedParts = [
  { mark: "configuration", make: configurationTable },
  { mark: "settings", make: settingsTables },
  { mark: "limits", make: limitsTable }
]
