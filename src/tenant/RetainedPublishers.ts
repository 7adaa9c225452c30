/**
 * Whether those who published a tenant's retained messages may still publish them: asked when somebody is to
 * get them, so that what was withdrawn and given back holds at once, and nothing is lost by a mistake.
 *
 * A publisher that is there is judged by its permissions. One that is gone is judged by what its principal
 * and client identifier are allowed, as far as the authorizer can tell without seeing the client; if it
 * cannot, the messages stay. No answer withholds them for now.
 */

import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { ForkChild } from "../actor/Actor.ts"
import type { Decision, Permissions } from "../auth/Authorizer.ts"
import { BoundedTable, tableKey } from "../auth/guard/BoundedTable.ts"
import type { Publication } from "../router/Publication.ts"
import type { Session } from "../session/Session.ts"
import type { SessionServices } from "../session/SessionServices.ts"
import { absentIdentity } from "./absentClient.ts"

/** Publishers that are gone whose permissions are kept. */
const KEPT_MAX = 10_000

export interface RetainedPublishersOptions {
  readonly tenant: string
  readonly services: Pick<SessionServices, "permissions" | "answers">
  readonly fork: ForkChild
  readonly sessionOf: (clientId: string) => Session | undefined
}

export class RetainedPublishers {
  private absent = new BoundedTable<Permissions>(KEPT_MAX)

  constructor(private readonly options: RetainedPublishersOptions) {}

  /** Permissions have changed. */
  forget(): void {
    this.absent = new BoundedTable(KEPT_MAX)
  }

  /** Hands those on whose publishers may still publish them; at once when nobody has to be asked. */
  judge(publications: ReadonlyArray<Publication>, then: (allowed: ReadonlyArray<Publication>) => void): void {
    const decisions = publications.map((publication) => this.decisionOn(publication))
    const pass = (answers: ReadonlyArray<unknown>) =>
      then(publications.filter((_, index) => answers[index] === true))
    if (decisions.every((decision) => typeof decision === "boolean")) return pass(decisions)
    this.options.fork(Effect.map(this.options.services.answers(decisions), pass))
  }

  private decisionOn({ publisherId, publisherPrincipal, qos, topic }: Publication): Decision {
    // The broker's own, or one of a time when that was not kept.
    if (publisherPrincipal === undefined) return true
    const session = this.options.sessionOf(publisherId)
    if (session?.principal === publisherPrincipal && session.identity.isAbsent !== true) {
      return session.permissions.publish(topic.name, qos, true)
    }
    const may = (permissions: Permissions): Decision =>
      permissions.isForAbsent !== true || permissions.publish(topic.name, qos, true)
    const permissions = this.permissionsOf(publisherId, publisherPrincipal)
    if (!Effect.isEffect(permissions)) return may(permissions)
    return Effect.flatMap(permissions, (granted) => {
      const decision = may(granted)
      return Effect.isEffect(decision) ? decision : Effect.succeed(decision)
    })
  }

  private permissionsOf(clientId: string, principal: string) {
    const key = tableKey(principal, clientId)
    const known = this.absent.get(key)
    if (known !== undefined) return known
    const { services, tenant } = this.options
    const asked = services.permissions(absentIdentity(tenant, { clientId, principal }))
    const table = this.absent
    const keep = (permissions: Permissions): Permissions => {
      table.set(key, permissions)
      return permissions
    }
    return Exit.isExit(asked) && Exit.isSuccess(asked)
      ? keep(asked.value as Permissions)
      : Effect.map(asked, keep)
  }
}
