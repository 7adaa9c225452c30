/**
 * Topic Filters: what a SUBSCRIBE may ask for, and how filters relate to topics and to each other.
 *
 * Everything walks the text level by level and allocates nothing but its answer. Only `parseTopicFilter`
 * judges; the other functions take filters that it has accepted (without `$share/group/`) and names that are
 * valid.
 *
 * In a walk a position is where a level starts. A text of n characters is used up at position n + 1, because
 * its last level has no `/` behind it; position n is an empty last level, as in `a/`.
 */

import {
  dollar,
  exceedsBytes,
  hash,
  hasNul,
  type InvalidTopic,
  invalidTopic,
  levelTooLong,
  noTopicLimits,
  plus,
  slash,
  type TopicLimits,
  tooManyLevels,
  topicBytesMax,
  validateText
} from "./TopicName.ts"

export interface PlainFilter {
  readonly _tag: "Plain"
  readonly filter: string
}

/**
 * `$share/group/filter`, or `$oshare/group/filter`, whose messages go to the members in order by publisher.
 */
export interface SharedFilter {
  readonly _tag: "Shared"
  readonly ordered: boolean
  readonly group: string
  readonly filter: string
}

/** Reads a filter of a SUBSCRIBE or UNSUBSCRIBE. The limits hold for the filter behind a share name. */
export const parseTopicFilter = (
  text: string,
  limits: TopicLimits = noTopicLimits
): PlainFilter | SharedFilter | InvalidTopic => {
  const ordered = text.startsWith("$oshare/")
  if (!ordered && !text.startsWith("$share/")) {
    return validateFilter(text, limits) ?? { _tag: "Plain", filter: text }
  }
  const groupStart = ordered ? "$oshare/".length : "$share/".length
  const groupEnd = text.indexOf("/", groupStart)
  const group = text.slice(groupStart, groupEnd === -1 ? text.length : groupEnd)
  const filter = groupEnd === -1 ? "" : text.slice(groupEnd + 1)
  const invalid = validateGroup(group, limits) ?? (filter === "" ? noFilter : validateFilter(filter, limits))
  return invalid ?? validateText(text, noTopicLimits) ?? { _tag: "Shared", ordered, group, filter }
}

/** Whether messages published to `topic` belong to a subscription with `filter`. */
export const matchesFilter = (filter: string, topic: string): boolean => {
  // [MQTT-4.7.2-1]
  if (topic.charCodeAt(0) === dollar && startsWithWildcard(filter)) return false
  return matchLevels(filter, 0, filter.length, topic, 0) === topic.length + 1
}

/** Whether every topic that `inner` matches is matched by `outer` too. */
export const filterContains = (outer: string, inner: string): boolean => {
  // [MQTT-4.7.2-1]: a wildcard in front leaves out the `$` topics, which the inner filter names.
  if (inner.charCodeAt(0) === dollar && startsWithWildcard(outer)) return false
  // Every topic has a level, so that `+/#` says as much as `#`; and none is empty, so that `/+/#` is `/#`.
  if (inner === "#" && outer === "+/#") return true
  if (inner === "/#" && (outer === "/+/#" || outer === "+/+/#")) return true
  let outerStart = 0
  let innerStart = 0
  while (outerStart <= outer.length) {
    const wanted = outer.charCodeAt(outerStart)
    // Also when the inner filter is used up: `a/#` matches `a`.
    if (wanted === hash) return true
    if (innerStart > inner.length || inner.charCodeAt(innerStart) === hash) return false
    if (wanted !== plus && !sameLevel(outer, outerStart, inner, innerStart)) return false
    outerStart = levelEnd(outer, outerStart) + 1
    innerStart = levelEnd(inner, innerStart) + 1
  }
  return innerStart > inner.length
}

/** Whether there is a topic that both filters match. */
export const filtersOverlap = (a: string, b: string): boolean => {
  // They would meet in the empty topic, which there is not. [MQTT-4.7.3-1]
  if ((a === "+" && b === "/#") || (a === "/#" && b === "+")) return false
  // [MQTT-4.7.2-1]
  if (a.charCodeAt(0) === dollar && startsWithWildcard(b)) return false
  if (b.charCodeAt(0) === dollar && startsWithWildcard(a)) return false
  let aStart = 0
  let bStart = 0
  for (;;) {
    const left = a.charCodeAt(aStart)
    const right = b.charCodeAt(bStart)
    if (left === hash || right === hash) return true
    if (aStart > a.length || bStart > b.length) return aStart > a.length && bStart > b.length
    if (left !== plus && right !== plus && !sameLevel(a, aStart, b, bStart)) return false
    aStart = levelEnd(a, aStart) + 1
    bStart = levelEnd(b, bStart) + 1
  }
}

/**
 * Walks the levels of `filter[start, end)` along `topic` from `position`, and returns where the topic's next
 * level starts, or -1 when they differ. `#` takes the rest, which may be nothing: `a/#` matches `a`.
 */
export const matchLevels = (
  filter: string,
  start: number,
  end: number,
  topic: string,
  position: number
): number => {
  const length = topic.length
  let from = start
  let at = position
  while (from <= end) {
    let code = from < end ? filter.charCodeAt(from) : slash
    if (code === hash) return length + 1
    if (at > length) return -1
    if (code === plus) {
      from += 2
      at = levelEnd(topic, at) + 1
      continue
    }
    while (code !== slash) {
      if (at >= length || topic.charCodeAt(at) !== code) return -1
      at++
      from++
      code = from < end ? filter.charCodeAt(from) : slash
    }
    if (at < length && topic.charCodeAt(at) !== slash) return -1
    from++
    at++
  }
  return at
}

/** Where the level that starts at `start` ends: at its `/` or at the end of the text. */
export const levelEnd = (text: string, start: number): number => {
  let end = start
  while (end < text.length && text.charCodeAt(end) !== slash) end++
  return end
}

/** Whether the filter's first level is a wildcard. */
export const startsWithWildcard = (filter: string): boolean => {
  const code = filter.charCodeAt(0)
  return code === plus || code === hash
}

/** Whether the level of `a` at `aStart` and that of `b` at `bStart` are the same text. */
export const sameLevel = (a: string, aStart: number, b: string, bStart: number): boolean => {
  let left = aStart
  let right = bStart
  while (left < a.length && a.charCodeAt(left) !== slash) {
    if (right >= b.length || a.charCodeAt(left) !== b.charCodeAt(right)) return false
    left++
    right++
  }
  return right >= b.length || b.charCodeAt(right) === slash
}

const validateFilter = (filter: string, limits: TopicLimits): InvalidTopic | undefined => {
  const invalid = validateText(filter, limits)
  if (invalid !== undefined) return invalid
  const length = filter.length
  const levelBytesMax = limits.levelBytesMax ?? topicBytesMax
  let levelStart = 0
  let levels = 1
  for (let index = 0; index < length; index++) {
    const code = filter.charCodeAt(index)
    if (code === slash) {
      if (exceedsBytes(filter, levelStart, index, levelBytesMax)) return levelTooLong
      levelStart = index + 1
      levels++
    } else if (code === hash) {
      // [v3 MQTT-4.7.1-2]
      if (index !== levelStart || index !== length - 1) return hashMisplaced
    } else if (code === plus) {
      // [v3 MQTT-4.7.1-3]
      if (index !== levelStart) return plusMisplaced
      if (index + 1 < length && filter.charCodeAt(index + 1) !== slash) return plusMisplaced
    } else if (code === 0) {
      return hasNul
    }
  }
  if (exceedsBytes(filter, levelStart, length, levelBytesMax)) return levelTooLong
  return limits.levelsMax !== undefined && levels > limits.levelsMax ? tooManyLevels : undefined
}

const validateGroup = (group: string, limits: TopicLimits): InvalidTopic | undefined => {
  if (group === "") return noGroup
  if (group.includes("+") || group.includes("#")) return groupHasWildcard
  if (group.includes("\u0000")) return hasNul
  return exceedsBytes(group, 0, group.length, limits.levelBytesMax ?? topicBytesMax)
    ? levelTooLong
    : undefined
}

const hashMisplaced = invalidTopic("MQTT-4.7.1-1", "# is not a whole level or not the last one")
const plusMisplaced = invalidTopic("MQTT-4.7.1-2", "+ is not a whole level")
const noGroup = invalidTopic("MQTT-4.8.2-1", "a shared subscription has no share name")
const groupHasWildcard = invalidTopic("MQTT-4.8.2-2", "a share name contains a wildcard")
const noFilter = invalidTopic("MQTT-4.8.2-2", "a share name is not followed by a topic filter")
