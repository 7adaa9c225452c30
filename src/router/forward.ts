/**
 * Hands a publication to the other nodes that want it.
 *
 * A message of a shared group goes to one member on one node: the node is chosen here, by how many members
 * each has, and the member there. What a strategy makes depend on the publisher or the topic depends on it
 * here as well, so that a publisher's messages stay in order.
 */

import type { Forwarding } from "../cluster/Forwarder.ts"
import type { Destinations, GroupShare } from "../cluster/Routes.ts"
import type { TenantSettings } from "../tenant/TenantSettings.ts"
import type { Publication } from "./Publication.ts"
import type { SharedGroup } from "./SharedGroup.ts"

interface Here {
  /** Those that the topic matches and that have members on this node. */
  readonly groups: ReadonlyArray<SharedGroup>
  readonly forwarding: Forwarding
  readonly random: () => number
  readonly settings: TenantSettings
}

/** Returns the keys of the groups whose message has gone to another node. */
export const forward = (
  publication: Publication,
  { groups, plain }: Destinations,
  here: Here
): ReadonlySet<string> => {
  const given = new Set<string>()
  for (const to of plain) send(publication, { to, group: undefined }, here)
  for (const [key, shares] of groups) {
    const local = here.groups.find((group) => group.key === key)?.size ?? 0
    const share = choose(shares, local, lotOf(publication, key, here))
    if (share === undefined) continue
    send(publication, { to: share.to, group: key }, here)
    given.add(key)
  }
  return given
}

const send = (
  publication: Publication,
  { group, to }: { readonly to: GroupShare["to"]; readonly group: string | undefined },
  { forwarding }: Here
): void => {
  // PUBACK and PUBREC wait until the other node has it.
  const settled = publication.qos === 0 ? undefined : (isTaken: boolean) => publication.settle(isTaken)
  if (settled !== undefined) publication.hold()
  forwarding.send({ to, group, message: publication, settled })
}

/** Undefined when the lot, a number in [0, 1), falls on this node's own members. */
const choose = (shares: ReadonlyArray<GroupShare>, local: number, lot: number): GroupShare | undefined => {
  const members = shares.reduce((sum, { weight }) => sum + weight, local)
  let rest = Math.floor(lot * members) - local
  if (rest < 0) return undefined
  return shares.find(({ weight }) => {
    rest -= weight
    return rest < 0
  })
}

const lotOf = ({ publisherId, topic }: Publication, key: string, { random, settings }: Here): number => {
  const strategy = settings.sharedSubscriptionStrategy
  if (key.startsWith("$oshare/") || strategy === "hash-client") return spread(publisherId)
  return strategy === "hash-topic" ? spread(topic.name) : random()
}

const spread = (text: string): number => Bun.hash.xxHash32(text) / 0x1_0000_0000
