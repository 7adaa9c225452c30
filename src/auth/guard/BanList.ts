/**
 * Who is not let in, whatever the credentials: clients, users, addresses and networks, for a time or for
 * ever. In memory; bounded.
 */

import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { CidrSet, canonicalAddress } from "../../transport/Cidr.ts"
import { tableKey } from "./BoundedTable.ts"

export type BanSubject =
  /** An address, or a network such as `192.0.2.0/24`. */
  | { readonly _tag: "Address"; readonly network: string }
  | { readonly _tag: "Client"; readonly tenant: string; readonly clientId: string }
  | { readonly _tag: "User"; readonly tenant: string; readonly principal: string }

export interface Ban {
  readonly subject: BanSubject
  /** For people, and for the client's Reason String. */
  readonly reason: string
  /** Milliseconds since the epoch; for ever when undefined. */
  readonly untilMs: number | undefined
}

/** Who somebody has proved to be. */
export interface BanCandidate {
  readonly tenant: string
  readonly principal: string
  readonly clientId: string
}

const BANS_MAX = 100_000

export class BanList extends Context.Tag("heddle/BanList")<
  BanList,
  {
    /**
     * Bans somebody, or changes the ban. False when the list is full. Throws `CidrError` for no network.
     * Those who are connected stay; they do not come back.
     */
    readonly add: (ban: Ban) => boolean
    /** False when there was no such ban. */
    readonly remove: (subject: BanSubject) => boolean
    /** The bans in force. */
    readonly list: () => ReadonlyArray<Ban>
    /** The ban on an address, if there is one. */
    readonly ofAddress: (address: string) => Ban | undefined
    /** The ban on a client or its user, if there is one. */
    readonly ofClient: (candidate: BanCandidate) => Ban | undefined
  }
>() {
  static readonly layer: Layer.Layer<BanList> = Layer.effect(
    BanList,
    Effect.clockWith((clock) => Effect.sync(() => makeBanList(() => clock.unsafeCurrentTimeMillis())))
  )
}

interface BannedNetwork {
  readonly ban: Ban
  readonly networks: CidrSet
}

export const makeBanList = (nowMs: () => number, sizeMax: number = BANS_MAX): BanList["Type"] => {
  const bans = new Map<string, Ban>()
  /** Those of whole networks, which have to be gone through one by one. */
  const networks = new Map<string, BannedNetwork>()

  const isOver = ({ untilMs }: Ban): boolean => untilMs !== undefined && untilMs <= nowMs()
  const inForce = (key: string): Ban | undefined => {
    const ban = bans.get(key)
    if (ban === undefined || !isOver(ban)) return ban
    remove(key)
    return undefined
  }
  const remove = (key: string): boolean => {
    networks.delete(key)
    return bans.delete(key)
  }
  const sweep = (): void => {
    for (const [key, ban] of bans) if (isOver(ban)) remove(key)
  }

  return {
    add: (ban) => {
      const { subject } = ban
      const network = subject._tag === "Address" ? new CidrSet([subject.network]) : undefined
      const key = keyOf(subject)
      if (bans.size >= sizeMax && !bans.has(key)) sweep()
      if (bans.size >= sizeMax && !bans.has(key)) return false
      bans.set(key, ban)
      if (network !== undefined && subject._tag === "Address" && subject.network.includes("/")) {
        networks.set(key, { ban, networks: network })
      }
      return true
    },
    remove: (subject) => remove(keyOf(subject)),
    list: () => {
      sweep()
      return [...bans.values()]
    },
    ofAddress: (address) => {
      if (bans.size === 0) return undefined
      const own = inForce(keyOf({ _tag: "Address", network: address }))
      if (own !== undefined) return own
      for (const { ban, networks: set } of networks.values()) {
        if (!isOver(ban) && set.contains(address)) return ban
      }
      return undefined
    },
    ofClient: ({ clientId, principal, tenant }) =>
      bans.size === 0
        ? undefined
        : (inForce(keyOf({ _tag: "Client", tenant, clientId })) ??
          inForce(keyOf({ _tag: "User", tenant, principal })))
  }
}

const keyOf = (subject: BanSubject): string => {
  switch (subject._tag) {
    case "Address":
      return tableKey("address", canonicalAddress(subject.network) ?? subject.network)
    case "Client":
      return tableKey("client", subject.tenant, subject.clientId)
    case "User":
      return tableKey("user", subject.tenant, subject.principal)
  }
}
