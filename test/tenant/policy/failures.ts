/** The ways in which a hook goes wrong, and what is said of each. */

import * as Effect from "effect/Effect"
import type { Answer } from "../../../src/tenant/policy/Verdict.ts"
import type { TestBroker } from "../../support/testBroker.ts"

export interface Failing {
  readonly name: string
  readonly answer: () => Answer<never>
  readonly reason: string
  /** It is waited for. */
  readonly hangs?: boolean
}

/** For what is no answer. */
const pretended = (answer: unknown): never => answer as never

const nonsense = "its answer makes no sense"

export const failings: ReadonlyArray<Failing> = [
  {
    name: "throws",
    answer: () => {
      throw new TypeError("a bug")
    },
    reason: "it threw TypeError: a bug"
  },
  {
    name: "throws what is no error",
    answer: () => pretended(fling(Object.create(null))),
    reason: "it threw object"
  },
  {
    name: "dies",
    answer: () => Effect.die(new RangeError("far off")),
    reason: "it threw RangeError: far off"
  },
  {
    name: "dies after a while",
    answer: () => Effect.zipRight(Effect.yieldNow(), Effect.die("a bug")),
    reason: "it threw string"
  },
  { name: "interrupts itself", answer: () => Effect.interrupt, reason: "it was interrupted" },
  { name: "hangs", answer: () => Effect.never, reason: "it took too long", hangs: true },
  {
    name: "hangs and cannot be interrupted",
    answer: () => Effect.uninterruptible(Effect.never),
    reason: "it took too long",
    hangs: true
  },
  { name: "answers nothing", answer: () => pretended(undefined), reason: nonsense },
  { name: "answers with a word", answer: () => pretended("yes"), reason: nonsense },
  { name: "answers with another tag", answer: () => pretended({ _tag: "Yes" }), reason: nonsense },
  { name: "has nothing to change", answer: () => pretended({ _tag: "Transform" }), reason: nonsense },
  {
    name: "changes a topic into a number",
    answer: () => pretended({ _tag: "Transform", change: { topic: 7, topicFilter: 7 } }),
    reason: nonsense
  },
  {
    name: "answers nonsense later",
    answer: () => Effect.succeed(pretended({ _tag: "Perhaps" })),
    reason: nonsense
  },
  {
    name: "answers with a promise that fails",
    answer: () => pretended(Promise.reject(new TypeError("a bug"))),
    reason: nonsense
  }
]

/** Until a hook that does not answer is waited for no longer. */
export const wait = async (broker: TestBroker): Promise<void> => {
  await broker.settle()
  await broker.advance(5100)
}

const fling = (thrown: unknown): never => {
  throw thrown
}
