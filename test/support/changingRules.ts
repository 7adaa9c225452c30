/** An authorizer whose rules a test changes while clients are there. */

import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import * as Stream from "effect/Stream"
import { Acl, type AclRule } from "../../src/auth/Acl.ts"
import { Authorizer, allowAll, type PermissionsChanged } from "../../src/auth/Authorizer.ts"

export class ChangingRules {
  private readonly changes = Effect.runSync(PubSub.unbounded<PermissionsChanged>())
  rules: ReadonlyArray<AclRule>

  constructor(...rules: ReadonlyArray<string>) {
    this.rules = rules.map(ruleOf)
  }

  /** Everybody has the rules but `admin`, who may do everything. */
  readonly layer = Layer.succeed(Authorizer, {
    permissions: ({ clientId, isAbsent = false }) =>
      Effect.sync(() => (clientId === "admin" ? allowAll : new Acl(this.rules, isAbsent))),
    changes: Stream.fromPubSub(this.changes)
  })

  /** From now on these; nobody is told. */
  set(...rules: ReadonlyArray<string>): void {
    this.rules = rules.map(ruleOf)
  }

  tell(change: PermissionsChanged): void {
    Effect.runSync(PubSub.publish(this.changes, change))
  }
}

/** `allow publish a/#` */
export const ruleOf = (text: string): AclRule => {
  const [permission, action, topicFilter = ""] = text.split(" ")
  if (permission !== "allow" && permission !== "deny") throw new RangeError(text)
  if (action !== "publish" && action !== "subscribe" && action !== "all") throw new RangeError(text)
  return { permission, action, topicFilter }
}
