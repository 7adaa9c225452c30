/**
 * The text of a file of access rules, line by line:
 *
 *     # Whom the rules below are for; everybody until the first of these lines.
 *     [tenant=acme user=ada,bob]
 *     allow publish   sensors/${clientId}/# qos=0,1 retain=no
 *     deny  subscribe secrets/#
 *     allow subscribe jobs/# shared=workers
 *     [*]
 *     allow all public/#
 *
 * A word may stand in double quotes, with the escapes of JSON. Every problem is told with its line, and a
 * text with problems has no rules: half of somebody's rules are not what they meant.
 */

import * as Either from "effect/Either"
import type { Qos } from "../../protocol/Packet.ts"
import { parseTopicFilter } from "../../topic/TopicFilter.ts"
import type { AclRule, RuleSource } from "../Acl.ts"
import { placeholders, type Template, templateOf } from "./substitute.ts"

/** What clients may be told apart by. */
export const attributes = ["tenant", "user", "client", "username", "cert.cn"] as const
export type Attribute = (typeof attributes)[number]

/** For each attribute that matters, the values that it may have. */
export type Who = ReadonlyMap<Attribute, ReadonlySet<string>>

/** A rule as it is written: for nobody in particular. */
export interface WrittenRule extends AclRule {
  readonly source: RuleSource
  readonly template: Template
}

/** Rules that stand below one `[...]`. */
export interface Section {
  readonly who: Who
  readonly rules: ReadonlyArray<WrittenRule>
}

export interface Problem {
  readonly file: string
  readonly line: number
  readonly problem: string
}

export const textOfProblem = ({ file, line, problem }: Problem): string => `${file}:${line}: ${problem}`

const RULES_MAX = 100_000

export const parseAcl = (
  file: string,
  text: string
): Either.Either<ReadonlyArray<Section>, ReadonlyArray<Problem>> => {
  const sections: Array<{ who: Who; rules: Array<WrittenRule> }> = []
  const problems: Array<Problem> = []
  const lines = (text.startsWith("\ufeff") ? text.slice(1) : text).split("\n")
  let count = 0
  for (const [index, written] of lines.entries()) {
    const source = { file, line: index + 1, text: written.trim() }
    if (source.text === "" || source.text.startsWith("#")) continue
    const read = source.text.startsWith("[") ? readWho(source.text) : readRule(source)
    if (typeof read === "string") problems.push({ file, line: source.line, problem: read })
    else if (read instanceof Map) sections.push({ who: read, rules: [] })
    else {
      if (sections.length === 0) sections.push({ who: new Map(), rules: [] })
      sections.at(-1)?.rules.push(read as WrittenRule)
      count++
    }
  }
  if (count > RULES_MAX) problems.push({ file, line: 1, problem: `has more than ${RULES_MAX} rules` })
  // What was cut off could have been the rest of a word: `a/b` grants something else than `a/bc`.
  const last = lines.at(-1) ?? ""
  if (last !== "") {
    problems.push({
      file,
      line: lines.length,
      problem: "the last line has no end: is the file half written?"
    })
  }
  return problems.length > 0 ? Either.left(problems) : Either.right(sections)
}

/** A word, with what of it stood in quotes; `key` where it is `key=...`. */
interface Word {
  readonly key: string | undefined
  readonly values: ReadonlyArray<{ readonly text: string; readonly isQuoted: boolean }>
}

const value = /(?:"(?:[^"\\]|\\.)*"|[^\s",[\]]+)/.source
const wordPattern = new RegExp(String.raw`\s*(?:([A-Za-z.]+)=)?(${value}(?:,${value})*)(?=\s|$)`, "y")

/** The words of a line; what is wrong with it. */
const wordsOf = (line: string): ReadonlyArray<Word> | string => {
  if (line.includes("\ufffd")) return "is not UTF-8"
  const words: Array<Word> = []
  let at = 0
  while (at < line.length) {
    wordPattern.lastIndex = at
    const match = wordPattern.exec(line)
    if (match === null) return `cannot be read from ${JSON.stringify(line.slice(at).trim())} on`
    const values = valuesOf(match[2] ?? "")
    if (typeof values === "string") return values
    words.push({ key: match[1], values })
    at = wordPattern.lastIndex
  }
  return words
}

const valuesOf = (written: string): Word["values"] | string => {
  const values: Array<{ text: string; isQuoted: boolean }> = []
  for (const [each] of written.matchAll(new RegExp(value, "g"))) {
    const isQuoted = each.startsWith('"')
    const text = isQuoted ? unquoted(each) : each
    if (text === undefined) return `${each} is no text in quotes`
    values.push({ text, isQuoted })
  }
  return values
}

const unquoted = (written: string): string | undefined => {
  try {
    const text: unknown = JSON.parse(written)
    return typeof text === "string" ? text : undefined
  } catch {
    return undefined
  }
}

const isAttribute = (key: string): key is Attribute => attributes.some((each) => each === key)

/** `[tenant=acme user=ada,bob]` */
const readWho = (line: string): Who | string => {
  if (!line.endsWith("]")) return "has no ] at its end"
  const words = wordsOf(line.slice(1, -1).trim())
  if (typeof words === "string") return words
  const who = new Map<Attribute, ReadonlySet<string>>()
  for (const { key, values } of words) {
    if (key === undefined && words.length === 1 && values.length === 1 && values[0]?.text === "*") break
    if (key === undefined || !isAttribute(key))
      return `says whom it is for by ${attributes.join("=, ")}=, or *`
    if (who.has(key)) return `says ${key}= twice`
    who.set(key, new Set(values.map(({ text }) => text)))
  }
  return who
}

type Mutable<A> = { -readonly [K in keyof A]: A[K] }

const readRule = (source: RuleSource): WrittenRule | string => {
  const words = wordsOf(source.text)
  if (typeof words === "string") return words
  const [permission, action, filter, ...conditions] = words
  const verb = plain(permission)
  if (verb !== "allow" && verb !== "deny") return "begins with neither allow, deny nor ["
  const subject = plain(action)
  if (subject !== "publish" && subject !== "subscribe" && subject !== "all") {
    return `says publish, subscribe or all after ${verb}`
  }
  const topicFilter = filter === undefined ? undefined : textOfFilter(filter)
  if (topicFilter === undefined) return "names no topic filter"
  const template = templateOf(topicFilter)
  if ("unknownName" in template) {
    return `\${${template.unknownName}} is none of ${placeholders.map((name) => `\${${name}}`).join(", ")}`
  }
  const wrong = problemOfFilter(template)
  if (wrong !== undefined) return wrong
  const rule: Mutable<WrittenRule> = { permission: verb, action: subject, topicFilter, source, template }
  for (const condition of conditions) {
    const problem = addCondition(rule, condition)
    if (problem !== undefined) return problem
  }
  return rule
}

/** A word that is neither `key=value` nor a list. */
const plain = (word: Word | undefined): string | undefined =>
  word?.key === undefined && word?.values.length === 1 ? word.values[0]?.text : undefined

/** A filter may hold what elsewhere divides: `a=b`, and commas. */
const textOfFilter = ({ key, values }: Word): string =>
  (key === undefined ? "" : `${key}=`) + values.map(({ text }) => text).join(",")

const problemOfFilter = (template: Template): string | undefined => {
  const sample = template.map((part) => (typeof part === "string" ? part : "x")).join("")
  const filter = parseTopicFilter(sample)
  if (filter._tag === "Invalid") return `the filter ${filter.reason} [${filter.clause}]`
  return filter._tag === "Plain"
    ? undefined
    : "a rule is for what stands behind $share/group/: name the group by shared="
}

const addCondition = (rule: Mutable<WrittenRule>, { key, values }: Word): string | undefined => {
  const [first] = values
  switch (key) {
    case "qos": {
      if (rule.qos !== undefined) return "says qos= twice"
      const levels = values.map(({ text }) => Number(text))
      if (!levels.every(isQos) || values.some(({ text }) => text.length !== 1))
        return "qos= is a list of 0, 1, 2"
      rule.qos = levels
      return undefined
    }
    case "retain":
      if (rule.action !== "publish") return "retain= is for rules of publish"
      if (rule.retain !== undefined) return "says retain= twice"
      rule.retain = values.length === 1 ? yesOrNo(first?.text) : undefined
      return rule.retain === undefined ? "retain= is yes or no" : undefined
    case "shared":
      if (rule.action !== "subscribe") return "shared= is for rules of subscribe"
      if (rule.shared !== undefined) return "says shared= twice"
      if (first === undefined || values.length > 1) return "shared= is yes, no or the name of a group"
      rule.shared = (first.isQuoted ? undefined : yesOrNo(first.text)) ?? first.text
      return /[/+#\0]|^$/.test(String(rule.shared)) ? "shared= names no group that there can be" : undefined
    default:
      return "has more behind the filter than qos=, retain= and shared= (a comment has a line of its own)"
  }
}

const isQos = (level: number): level is Qos => level === 0 || level === 1 || level === 2

const yesOrNo = (text: string | undefined): boolean | undefined =>
  text === "yes" ? true : text === "no" ? false : undefined
