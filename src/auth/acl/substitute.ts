/**
 * Names of a client in the filters of rules: `sensors/${clientId}/#`.
 *
 * A value stands for itself: it is never a wildcard, never several levels, never looked at for placeholders
 * again. One that cannot stand so is unfit: it is missing or empty, holds `/`, `+`, `#` or U+0000, or begins
 * with `$` at the front of the filter, where wildcards would not have let it. What a rule with an unfit value
 * was to say cannot be known, so it is read the way that grants least. An allow rule never applies. A deny
 * rule denies everything that its filter could have meant with any value of any number of levels: all below
 * the level before the value, and from the first level on all there is.
 *
 * Of a client that is absent some values are not known, though it had them when it was given what it holds.
 * There the reading is the one that takes least away, see `Permissions.isForAbsent`.
 */

import type { Identity } from "../Authenticator.ts"

export const placeholders = ["clientId", "username", "principal", "tenant", "cert.cn"] as const
export type Placeholder = (typeof placeholders)[number]

/** `unknown`: there may be one, and nobody can say which. */
export const unknown = Symbol("unknown")

export type Values = Readonly<Record<Placeholder, string | undefined | typeof unknown>>

/** What the names stand for where a client is concerned. */
export const valuesOf = ({ clientId, isAbsent, peer, principal, tenant, username }: Identity): Values => ({
  tenant,
  principal,
  clientId,
  username: isAbsent === true ? unknown : username,
  "cert.cn": isAbsent === true ? unknown : peer.certificate?.commonName
})

/** A filter in parts: text, and the names that stand between. */
export type Template = ReadonlyArray<string | { readonly name: Placeholder }>

const placeholder = /\$\{([^}]*)\}/g

const isPlaceholder = (name: string): name is Placeholder => placeholders.some((each) => each === name)

/** The filter with its placeholders; or the name of one that there is not. */
export const templateOf = (filter: string): Template | { readonly unknownName: string } => {
  const parts: Array<string | { readonly name: Placeholder }> = []
  let end = 0
  for (const match of filter.matchAll(placeholder)) {
    const name = match[1] ?? ""
    if (!isPlaceholder(name)) return { unknownName: name }
    if (match.index > end) parts.push(filter.slice(end, match.index))
    parts.push({ name })
    end = match.index + match[0].length
  }
  if (end < filter.length) parts.push(filter.slice(end))
  return parts
}

export const hasPlaceholder = (template: Template): boolean =>
  template.some((part) => typeof part !== "string")

/** A filter that a rule applies to; undefined when it applies to nothing. */
export interface Substituted {
  readonly topicFilter: string
  readonly coversAll: boolean
}

export const substitute = (
  template: Template,
  values: Values,
  permission: "allow" | "deny"
): Substituted | undefined => {
  let filter = ""
  let isWidened = false
  for (const part of template) {
    if (typeof part === "string") {
      filter += part
      continue
    }
    const value = values[part.name]
    if (value === unknown) {
      if (permission === "deny") return undefined
      filter += WIDENED
      isWidened = true
    } else if (isFit(value, filter)) filter += value
    else return permission === "allow" ? undefined : everythingBelow(filter)
  }
  if (isWidened) filter = filter.split("/").map(widenedLevel).join("/")
  return { topicFilter: filter, coversAll: false }
}

/** Marks a level that any value may stand in: no valid filter has it. */
const WIDENED = "\u0000"

const widenedLevel = (level: string): string => (level.includes(WIDENED) ? "+" : level)

const isFit = (value: string | undefined, before: string): value is string =>
  value !== undefined && value !== "" && !/[/+#\0]/.test(value) && !(before === "" && value.startsWith("$"))

/** What a filter that begins so can match, if something of any number of levels follows. */
const everythingBelow = (beginning: string): Substituted => {
  const end = beginning.lastIndexOf("/")
  if (end < 0) return { topicFilter: "#", coversAll: true }
  return { topicFilter: `${beginning.slice(0, end)}/#`, coversAll: false }
}
