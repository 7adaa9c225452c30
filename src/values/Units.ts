/**
 * Durations and sizes as people write them in a configuration.
 *
 * A duration always carries its unit (`500ms`, `10s`, `5m`, `2h`, `7d`). A size is a number of bytes or
 * carries a unit (`64KB`, `1MB`, `1GB`); units are powers of 1024, and `KiB` says the same as `KB`.
 */

const durationUnits = new Map([
  ["ms", 1],
  ["s", 1000],
  ["m", 60_000],
  ["h", 3_600_000],
  ["d", 86_400_000]
])

const sizeUnits = new Map([
  ["B", 1],
  ["KB", 1024],
  ["MB", 1024 ** 2],
  ["GB", 1024 ** 3],
  ["TB", 1024 ** 4]
])

export const durationPattern = /^(\d+(?:\.\d+)?) ?(ms|s|m|h|d)$/

export const sizePattern = /^(\d+(?:\.\d+)?) ?([KMGTkmgt]?)[iI]?[bB]?$/

/** Milliseconds, or undefined when the text is not a duration. */
export const parseDuration = (text: string): number | undefined => {
  const match = durationPattern.exec(text.trim())
  if (match === null) return undefined
  const millis = Number(match[1]) * durationUnits.get(match[2]!)!
  return Number.isSafeInteger(millis) ? millis : undefined
}

/** The shortest exact text of a duration in milliseconds. */
export const formatDuration = (millis: number): string => formatIn(durationUnits, millis)

/** Bytes, or undefined when the text is not a size. */
export const parseSize = (text: string): number | undefined => {
  const match = sizePattern.exec(text.trim())
  if (match === null) return undefined
  const bytes = Number(match[1]) * sizeUnits.get(`${match[2]!.toUpperCase()}B`)!
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

/** The shortest exact text of a size in bytes. */
export const formatSize = (bytes: number): string => formatIn(sizeUnits, bytes)

const formatIn = (units: ReadonlyMap<string, number>, value: number): string => {
  const fitting = [...units].filter(([, factor]) => value % factor === 0 && value >= factor)
  const [unit, factor] = fitting.at(-1) ?? [...units][0]!
  return `${value / factor}${unit}`
}
