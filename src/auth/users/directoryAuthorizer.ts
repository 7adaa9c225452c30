/**
 * An authorizer that takes the rules of users from the directory as they are now, not as they were when the
 * client connected, and says when they change. Who authenticated in another way is left to the authorizer
 * behind, and so are the directory's users without rules of their own.
 */

import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { AuthorizationUnavailable, type Authorizer } from "../Authorizer.ts"
import type { UserDirectory } from "./UserDirectory.ts"
import { USERS_METHOD } from "./UserMethod.ts"

export const directoryAuthorizer = (
  inner: Authorizer["Type"],
  { changes, find }: Pick<UserDirectory["Type"], "find" | "changes">
): Authorizer["Type"] => {
  const ownChanges = Stream.unwrapScoped(changes).pipe(
    Stream.filter(({ what }) => what === "rules"),
    Stream.map(({ tenant }) => ({ tenant }))
  )
  return {
    permissions: (identity) => {
      if (identity.method !== USERS_METHOD) return inner.permissions(identity)
      return Effect.matchEffect(find(identity.principal), {
        onFailure: ({ reason }) => Effect.fail(new AuthorizationUnavailable({ reason })),
        onSuccess: (user) => {
          // Removed since it authenticated, and perhaps made anew elsewhere: its connection is being closed.
          if (user === undefined || user.isDisabled || user.tenant !== identity.tenant) {
            return Effect.fail(new AuthorizationUnavailable({ reason: "the user is no longer admitted" }))
          }
          return inner.permissions({ ...identity, rules: user.rules })
        }
      })
    },
    changes: inner.changes === undefined ? ownChanges : Stream.merge(inner.changes, ownChanges)
  }
}
