/**
 * Access rules compiled for one client: an ordered list, the first rule that applies decides, nothing applies
 * means no.
 *
 * A subscription is judged by containment, not by matching: an allow rule counts only if it covers every
 * topic that the filter can match, and a deny rule counts if it covers them all. A deny that covers just some
 * of them does not refuse the filter; `deliver` then withholds those topics one by one.
 */

import { filterContains, filtersOverlap, matchesFilter } from "../topic/TopicFilter.ts"

export interface AclRule {
  readonly permission: "allow" | "deny"
  readonly action: "publish" | "subscribe" | "all"
  readonly topicFilter: string
}

export class Acl {
  private readonly publishRules: ReadonlyArray<AclRule>
  private readonly subscribeRules: ReadonlyArray<AclRule>
  /** Undefined when no deny lies inside an allowed filter: then nothing needs checking at delivery. */
  readonly deliver: ((topic: string) => boolean) | undefined

  constructor(rules: ReadonlyArray<AclRule>) {
    this.publishRules = rules.filter((rule) => rule.action !== "subscribe")
    this.subscribeRules = rules.filter((rule) => rule.action !== "publish")
    const nested = this.subscribeRules.some(
      (deny) =>
        deny.permission === "deny" &&
        this.subscribeRules.some(
          (allow) => allow.permission === "allow" && filtersOverlap(allow.topicFilter, deny.topicFilter)
        )
    )
    this.deliver = nested ? (topic) => decide(this.subscribeRules, topic) : undefined
  }

  readonly publish = (topic: string): boolean => decide(this.publishRules, topic)

  readonly subscribe = (topicFilter: string): boolean => {
    for (const rule of this.subscribeRules) {
      if (filterContains(rule.topicFilter, topicFilter)) return rule.permission === "allow"
    }
    return false
  }
}

const decide = (rules: ReadonlyArray<AclRule>, topic: string): boolean => {
  for (const rule of rules) {
    if (matchesFilter(rule.topicFilter, topic)) return rule.permission === "allow"
  }
  return false
}
