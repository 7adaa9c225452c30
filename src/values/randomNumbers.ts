/** Numbers by chance, for loops that cannot run effects. */

import * as Effect from "effect/Effect"
import * as Random from "effect/Random"

/**
 * A pseudo-random generator of numbers from 0 to 1, exclusive; seeded from the `Random` service, so that
 * tests can fix it. (xorshift32)
 */
export const randomNumbers: Effect.Effect<() => number> = Effect.map(
  Random.nextIntBetween(1, 0x7fff_ffff),
  (seed) => {
    let state = seed
    return () => {
      state ^= state << 13
      state ^= state >>> 17
      state ^= state << 5
      return (state >>> 0) / 0x1_0000_0000
    }
  }
)
