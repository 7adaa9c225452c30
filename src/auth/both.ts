/**
 * Permissions of two origins, such as rules in a file and what a token grants: what both allow is allowed.
 */

import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Explanation } from "./Acl.ts"
import type { Authorizer, Decision, Permissions } from "./Authorizer.ts"

export const both = (first: Permissions, second: Permissions): Permissions => {
  const { explain: explainFirst } = first
  const { explain: explainSecond } = second
  return {
    publish: (...message) => and(first.publish(...message), () => second.publish(...message)),
    subscribe: (...filter) => and(first.subscribe(...filter), () => second.subscribe(...filter)),
    deliver: everyOf(first.deliver, second.deliver),
    // What one of them cannot say is left to whoever asks, who looks at what is still subscribed to.
    receive: first.receive && second.receive && everyOf(first.receive, second.receive),
    explain: (action) => {
      const explained = explainFirst?.(action) ?? unexplained
      if (explained.allowed === false) return explained
      const other = explainSecond?.(action) ?? unexplained
      return other.allowed === true ? explained : other
    },
    isForAbsent: first.isForAbsent === true && second.isForAbsent === true
  }
}

const unexplained: Explanation = { allowed: undefined, why: "only the authorizer itself can tell" }

type Judge = Permissions["deliver"]

const everyOf = (first: Judge, second: Judge): Judge => {
  if (first === undefined || second === undefined) return first ?? second
  return (...delivery) => first(...delivery) && second(...delivery)
}

/** The second is not asked where the first has refused. */
const and = (first: Decision, second: () => Decision): Decision => {
  if (first === true) return second()
  if (!Effect.isEffect(first)) return false
  return Effect.flatMap(first, (allowed) => {
    if (allowed !== true) return Effect.succeed(false)
    const next = second()
    return Effect.isEffect(next) ? next : Effect.succeed(next)
  })
}

/** An authorizer whose clients may do what both allow. */
export const bothAuthorizers = (
  first: Authorizer["Type"],
  second: Authorizer["Type"]
): Authorizer["Type"] => ({
  permissions: (identity) => Effect.zipWith(first.permissions(identity), second.permissions(identity), both),
  changes: Stream.merge(first.changes ?? Stream.empty, second.changes ?? Stream.empty),
  forget: () => {
    first.forget?.()
    second.forget?.()
  }
})
