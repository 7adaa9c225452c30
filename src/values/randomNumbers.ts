/** Numbers by chance, for loops that cannot run effects. */

import * as Effect from "effect/Effect"
import * as Random from "effect/Random"

/**
 * A pseudo-random generator of numbers from 0 to 1, exclusive; seeded from the `Random` service, so that
 * tests can fix it. (xorshift32)
 */
export const randomNumbers: Effect.Effect<() => number> = Effect.suspend(() => Effect.map(seed, generator))

/** A generator for each name: what one of them has drawn changes nothing of what another will draw. */
export const randomNumbersFor: Effect.Effect<(name: string) => () => number> = Effect.suspend(() =>
  Effect.map(seed, (common) => (name) => generator(mixed(common, name)))
)

const seed = Random.nextIntBetween(1, 0x7fff_ffff)

/** Of a seed that is not 0. */
const generator = (first: number): (() => number) => {
  let state = first
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 0x1_0000_0000
  }
}

/** FNV-1a over the name. */
const mixed = (first: number, name: string): number => {
  let hash = first
  for (let index = 0; index < name.length; index++)
    hash = Math.imul(hash ^ name.charCodeAt(index), 0x0100_0193)
  return hash === 0 ? first : hash
}
