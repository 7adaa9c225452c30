/**
 * The matching rules of MQTT 5.0 section 4.7 in their plainest form, and texts that are hard on faster ones.
 */

import * as fc from "effect/FastCheck"

export const referenceMatch = (filter: string, topic: string): boolean => {
  const wanted = filter.split("/")
  const levels = topic.split("/")
  if (topic.startsWith("$") && (wanted[0] === "+" || wanted[0] === "#")) return false
  for (let index = 0; index < wanted.length; index++) {
    if (wanted[index] === "#") return true
    if (index >= levels.length) return false
    if (wanted[index] !== "+" && wanted[index] !== levels[index]) return false
  }
  return wanted.length === levels.length
}

// `a!` and `a0` stand beside `a/` in the order of characters; U+0001 stands before everything.
const level = fc.constantFrom(
  ...["a", "b", "", "ab", "a!", "a0", "a\u0001", "$", "$x", "é", "\u{1f600}", "__proto__", "constructor"]
)

const join = (levels: ReadonlyArray<string>): string => levels.join("/") || "a"

export const topicName: fc.Arbitrary<string> = fc.array(level, { minLength: 1, maxLength: 5 }).map(join)

export const topicFilter: fc.Arbitrary<string> = fc
  .tuple(
    fc.array(fc.oneof({ arbitrary: level, weight: 3 }, { arbitrary: fc.constant("+"), weight: 1 }), {
      minLength: 1,
      maxLength: 5
    }),
    fc.boolean()
  )
  .map(([levels, hash]) => (hash ? join([...levels.slice(1), "#"]) : join(levels)))

const few = fc.constantFrom("a", "b", "xy")

export const crowdedName: fc.Arbitrary<string> = fc.array(few, { minLength: 2, maxLength: 5 }).map(join)

export const crowdedFilter: fc.Arbitrary<string> = fc
  .tuple(
    fc.array(fc.oneof({ arbitrary: few, weight: 2 }, { arbitrary: fc.constant("+"), weight: 1 }), {
      minLength: 2,
      maxLength: 5
    }),
    fc.nat(5)
  )
  .map(([levels, last]) => (last === 0 ? join([...levels.slice(1), "#"]) : join(levels)))

/** Every property runs with the same cases each time. */
export const seeded = (numRuns: number): { readonly seed: number; readonly numRuns: number } => ({
  seed: 20_261_122,
  numRuns
})
