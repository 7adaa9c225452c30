/**
 * All rules that were written, in their order, and the permissions that they make for a client.
 *
 * A client's rules are found by what it is, not by looking at all that there are; clients whose rules say
 * nothing of who they are share one list.
 */

import { Acl, CompiledRule } from "../Acl.ts"
import type { Identity } from "../Authenticator.ts"
import { type Attribute, attributes, type Section, type WrittenRule } from "./AclText.ts"
import { hasPlaceholder, substitute, unknown, type Values, valuesOf } from "./substitute.ts"

/** Lists that are shared; they begin anew when there are more. */
const SHARED_MAX = 1024

interface Chapter {
  readonly index: number
  readonly section: Section
  /** Undefined for a rule that has to be made for each client. */
  readonly compiled: ReadonlyArray<CompiledRule | undefined>
  readonly isPersonal: boolean
}

export class RuleBook {
  private readonly chapters: ReadonlyArray<Chapter>
  /** Chapters by one value that they are for, by which most of them are told apart. */
  private readonly byValue = new Map<string, Array<number>>()
  /** Chapters that are for no such value. */
  private readonly general: Array<number> = []
  private readonly shared = new Map<string, Acl>()

  constructor(readonly sections: ReadonlyArray<Section>) {
    this.chapters = sections.map(chapterOf)
    for (const [index, { who }] of sections.entries()) {
      const attribute = selective.find((each) => who.has(each))
      if (attribute === undefined) this.general.push(index)
      for (const value of (attribute && who.get(attribute)) ?? []) {
        const key = `${attribute} ${value}`
        const found = this.byValue.get(key)
        if (found === undefined) this.byValue.set(key, [index])
        else found.push(index)
      }
    }
  }

  get size(): number {
    return this.sections.reduce((sum, { rules }) => sum + rules.length, 0)
  }

  permissionsOf(identity: Identity): Acl {
    const values = valuesOf(identity)
    const chapters = this.chaptersFor(values)
    const isAbsent = identity.isAbsent === true
    const make = () =>
      new Acl(
        chapters.flatMap((chapter) => rulesFor(chapter, values)),
        isAbsent
      )
    if (chapters.some(({ isPersonal }) => isPersonal)) return make()
    const key = `${isAbsent} ${chapters.map(({ index }) => index).join()}`
    const known = this.shared.get(key)
    if (known !== undefined) return known
    const acl = make()
    if (this.shared.size >= SHARED_MAX) this.shared.clear()
    this.shared.set(key, acl)
    return acl
  }

  private chaptersFor(values: Values): ReadonlyArray<Chapter> {
    const found = [...this.general]
    for (const attribute of selective) {
      const value = values[placeholderOf[attribute]]
      if (typeof value === "string") found.push(...(this.byValue.get(`${attribute} ${value}`) ?? []))
      else if (value === unknown) found.push(...this.allBy(attribute))
    }
    return found
      .sort((a, b) => a - b)
      .flatMap((index) => this.chapters[index] ?? [])
      .filter(({ section }) => attributes.every((each) => isFor(section, each, values)))
  }

  /** What is told apart by an attribute that is not known. */
  private allBy(attribute: Attribute): ReadonlyArray<number> {
    const prefix = `${attribute} `
    const indices = [...this.byValue].flatMap(([key, found]) => (key.startsWith(prefix) ? found : []))
    return [...new Set(indices)]
  }
}

/** The most telling first. */
const selective: ReadonlyArray<Attribute> = ["client", "user", "username", "cert.cn", "tenant"]

const placeholderOf = {
  tenant: "tenant",
  user: "principal",
  client: "clientId",
  username: "username",
  "cert.cn": "cert.cn"
} as const satisfies Record<Attribute, keyof Values>

/** Also when it cannot be told. */
const isFor = ({ who }: Section, attribute: Attribute, values: Values): boolean => {
  const wanted = who.get(attribute)
  const value = values[placeholderOf[attribute]]
  return wanted === undefined || value === unknown || (value !== undefined && wanted.has(value))
}

const chapterOf = (section: Section, index: number): Chapter => ({
  index,
  section,
  compiled: section.rules.map((rule) => (hasPlaceholder(rule.template) ? undefined : new CompiledRule(rule))),
  isPersonal: section.rules.some(({ template }) => hasPlaceholder(template))
})

const rulesFor = ({ compiled, section }: Chapter, values: Values): ReadonlyArray<CompiledRule> => {
  // What denies takes nothing away where it is not known to be for the client. See `Permissions.isForAbsent`.
  const isUncertain = [...section.who.keys()].some((each) => values[placeholderOf[each]] === unknown)
  return section.rules.flatMap((rule, index) => {
    if (isUncertain && rule.permission === "deny") return []
    return compiled[index] ?? personalRule(rule, values) ?? []
  })
}

const personalRule = (rule: WrittenRule, values: Values): CompiledRule | undefined => {
  const filter = substitute(rule.template, values, rule.permission)
  return filter && new CompiledRule({ ...rule, ...filter })
}
