/**
 * Bans at run time: stored, then in force, then those are sent away whom they cover.
 *
 * A ban holds for newcomers before the connections of others are looked through, and these are told by
 * message, so nobody slips in between.
 */

import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Identity } from "../auth/Authenticator.ts"
import { type Ban, BanList, type BanSubject } from "../auth/guard/BanList.ts"
import { restoreBans } from "../auth/guard/storedBans.ts"
import { Broker } from "../Broker.ts"
import { ReasonCode } from "../protocol/ReasonCode.ts"
import { BanStore } from "../storage/BanStore.ts"
import type { StorageError } from "../storage/StorageError.ts"
import { CidrSet } from "../transport/Cidr.ts"
import { type AdministrationError, refused, unstored } from "./AdministrationError.ts"

export class BanAdmin extends Context.Tag("heddle/BanAdmin")<
  BanAdmin,
  {
    readonly add: (ban: Ban) => Effect.Effect<void, AdministrationError>
    /** One that stands in the configuration comes back with the next start. */
    readonly remove: (subject: BanSubject) => Effect.Effect<void, AdministrationError>
    /** Those in force, those included that the broker has made itself of clients that flap. */
    readonly list: Effect.Effect<ReadonlyArray<Ban>>
  }
>() {
  /** Brings back the stored bans first. */
  static readonly layer: Layer.Layer<BanAdmin, StorageError, Broker | BanList | BanStore> = Layer.effect(
    BanAdmin,
    Effect.gen(function* () {
      const { administration } = yield* Broker
      const bans = yield* BanList
      const store = yield* BanStore
      yield* restoreBans(bans)
      return {
        add: (ban) =>
          Effect.gen(function* () {
            const covers = yield* coverOf(ban.subject)
            if (!bans.add(ban)) return yield* refused("unavailable", "there are too many bans")
            yield* Effect.mapError(store.put(ban), unstored)
            // 3.14.2.1: DISCONNECT knows no Banned (0x8A)
            const ending = { reasonCode: ReasonCode.AdministrativeAction, reason: ban.reason }
            administration.close({ ...placeOf(ban.subject), covers, ending })
          }),
        remove: (subject) =>
          Effect.gen(function* () {
            const wasStored = yield* Effect.mapError(store.remove(subject), unstored)
            if (!bans.remove(subject) && !wasStored) {
              return yield* refused("not-found", "there is no such ban")
            }
          }),
        list: Effect.sync(() => bans.list())
      }
    })
  )
}

/** Where those can be whom a ban covers. */
const placeOf = (subject: BanSubject): { readonly tenant?: string; readonly clientId?: string } => {
  switch (subject._tag) {
    case "Address":
      return {}
    case "Client":
      return { tenant: subject.tenant, clientId: subject.clientId }
    case "User":
      return { tenant: subject.tenant }
  }
}

const coverOf = (
  subject: BanSubject
): Effect.Effect<(identity: Identity) => boolean, AdministrationError> => {
  switch (subject._tag) {
    case "Address":
      return Effect.map(
        Effect.try({
          try: () => new CidrSet([subject.network]),
          catch: () => refused("invalid", `${subject.network} is neither an address nor a network`)
        }),
        (networks) =>
          ({ peer }) =>
            networks.contains(peer.address)
      )
    case "Client":
      return Effect.succeed(
        ({ clientId, tenant }) => clientId === subject.clientId && tenant === subject.tenant
      )
    case "User":
      return Effect.succeed(
        ({ principal, tenant }) => principal === subject.principal && tenant === subject.tenant
      )
  }
}
