/**
 * What a Topic Name may be (MQTT 5.0 section 4.7), and the limits that a tenant sets on names and filters
 * alike.
 *
 * The answer is a value: undefined for a good name, else which clause or limit refuses it. A broken clause is
 * the client's mistake; a limit means that the name is correctly formed and not accepted here (0x90, for a
 * filter 0x8F). Levels are any text, the empty one included: `/`, `//` and `a//b` are ordinary, and nothing
 * is normalized [MQTT-4.7.3-4].
 */

/** Limits on names and filters; one that is left out does not apply, except the 65,535 bytes of the wire. */
export interface TopicLimits {
  readonly levelsMax?: number
  /** Bytes of the UTF-8 encoding of one level, and of a share name. */
  readonly levelBytesMax?: number
  /** UTF-16 code units of the whole, for a shared subscription of the filter behind the share name. */
  readonly charsMax?: number
  /** Bytes of the UTF-8 encoding. */
  readonly bytesMax?: number
}

/** Why a name or filter is refused. */
export interface InvalidTopic {
  readonly _tag: "Invalid"
  /**
   * The clause that is broken, such as `MQTT-4.7.1-1`; section `2.4`, which has the reason codes, for a
   * limit.
   */
  readonly clause: string
  /** The limit that is exceeded; undefined when the text breaks the specification. */
  readonly limit: keyof TopicLimits | undefined
  /** For a person; does not repeat the text. */
  readonly reason: string
}

/** MQTT's own limit: a string's length has two bytes on the wire. [MQTT-4.7.3-3] */
export const topicBytesMax = 65_535

export const noTopicLimits: TopicLimits = Object.freeze({})

/** Tells why `name` cannot be the topic of a message; undefined when it can. */
export const validateTopicName = (
  name: string,
  limits: TopicLimits = noTopicLimits
): InvalidTopic | undefined => {
  const invalid = validateText(name, limits)
  if (invalid !== undefined) return invalid
  const length = name.length
  const levelBytesMax = limits.levelBytesMax ?? topicBytesMax
  let levelStart = 0
  let levels = 1
  for (let index = 0; index < length; index++) {
    const code = name.charCodeAt(index)
    if (code === slash) {
      if (exceedsBytes(name, levelStart, index, levelBytesMax)) return levelTooLong
      levelStart = index + 1
      levels++
    } else if (code === plus || code === hash) {
      return nameHasWildcard
    } else if (code === 0) {
      return hasNul
    }
  }
  if (exceedsBytes(name, levelStart, length, levelBytesMax)) return levelTooLong
  return limits.levelsMax !== undefined && levels > limits.levelsMax ? tooManyLevels : undefined
}

/** Topics of the server's own, which wildcards in a filter's first level do not match. [MQTT-4.7.2-1] */
export const isSystemTopic = (name: string): boolean => name.charCodeAt(0) === dollar

/** The rules on the whole text that names and filters share; their levels are the caller's. */
export const validateText = (text: string, limits: TopicLimits): InvalidTopic | undefined => {
  const length = text.length
  if (length === 0) return isEmpty
  if (!text.isWellFormed()) return illFormed
  if (limits.charsMax !== undefined && length > limits.charsMax) return tooManyChars
  const bytesMax = Math.min(limits.bytesMax ?? topicBytesMax, topicBytesMax)
  if (exceedsBytes(text, 0, length, bytesMax)) {
    return bytesMax === topicBytesMax ? exceedsWire : tooManyBytes
  }
  return undefined
}

export const slash = 0x2f
export const plus = 0x2b
export const hash = 0x23
export const dollar = 0x24

export const invalidTopic = (clause: string, reason: string, limit?: keyof TopicLimits): InvalidTopic =>
  Object.freeze({ _tag: "Invalid", clause, limit, reason })

export const hasNul = invalidTopic("MQTT-4.7.3-2", "contains U+0000")
export const levelTooLong = invalidTopic("2.4", "has a level of too many bytes", "levelBytesMax")
export const tooManyLevels = invalidTopic("2.4", "has too many levels", "levelsMax")
const isEmpty = invalidTopic("MQTT-4.7.3-1", "is empty")
const illFormed = invalidTopic("MQTT-1.5.4-1", "contains a lone surrogate")
const nameHasWildcard = invalidTopic("MQTT-3.3.2-2", "a topic name contains a wildcard")
const tooManyChars = invalidTopic("2.4", "has too many characters", "charsMax")
const tooManyBytes = invalidTopic("2.4", "has too many bytes", "bytesMax")
const exceedsWire = invalidTopic("MQTT-4.7.3-3", "has more than 65,535 bytes")

/**
 * Whether a part of a text has more bytes in UTF-8. A code unit is at most three of them, so that short parts
 * need not be counted.
 */
export const exceedsBytes = (text: string, start: number, end: number, bytesMax: number): boolean =>
  (end - start) * 3 > bytesMax && utf8ByteLength(text, start, end) > bytesMax

const utf8ByteLength = (text: string, start: number, end: number): number => {
  let bytes = end - start
  for (let index = start; index < end; index++) {
    const code = text.charCodeAt(index)
    if (code < 0x80) continue
    // Of a surrogate pair each half counts two: the pair is four bytes.
    bytes += code < 0x800 || (code & 0xf800) === 0xd800 ? 1 : 2
  }
  return bytes
}
