/**
 * How many a message may be given to: the tenant's limits, judged before anybody gets it, so that a message
 * over one of them is refused as a whole and nobody has half of it.
 */

import type { TenantSettings } from "../tenant/TenantSettings.ts"
import type { Match, Target } from "./MatchCache.ts"
import type { Publication } from "./Publication.ts"
import type { SharedGroup } from "./SharedGroup.ts"

/** Why a message goes to more than it may; undefined when it does not. */
export const excessOf = (
  publication: Publication,
  { groups, targets }: Match,
  settings: TenantSettings
): string | undefined => {
  const { persistentFanoutBytesMax, persistentFanoutMax, sharedGroupFanoutMax } = settings
  if (groups.length > sharedGroupFanoutMax) {
    return `${groups.length} shared subscriptions match, a message may be given to ${sharedGroupFanoutMax}`
  }
  if ((persistentFanoutMax === 0 && persistentFanoutBytesMax === 0) || publication.qos === 0) return undefined
  const sessionsMax = sessionsOf(publication, settings)
  // Most messages are far from it, and their receivers need not be looked at.
  if (targets.length + groups.length <= sessionsMax) return undefined
  const keeping = keepingTargets(targets) + keepingGroups(groups)
  if (keeping <= sessionsMax) return undefined
  return keeping > persistentFanoutMax && persistentFanoutMax > 0
    ? `${keeping} sessions would keep it, a message may be kept by ${persistentFanoutMax}`
    : `${keeping} sessions would keep it, which is more than ${persistentFanoutBytesMax} bytes`
}

/** How many sessions may keep the message. */
const sessionsOf = (
  { payloadBytes }: Publication,
  { persistentFanoutBytesMax, persistentFanoutMax }: TenantSettings
): number =>
  Math.min(
    persistentFanoutMax === 0 ? Number.POSITIVE_INFINITY : persistentFanoutMax,
    persistentFanoutBytesMax === 0 || payloadBytes === 0
      ? Number.POSITIVE_INFINITY
      : Math.floor(persistentFanoutBytesMax / payloadBytes)
  )

const keepingTargets = (targets: ReadonlyArray<Target>): number => {
  let count = 0
  for (const { options, subscriber } of targets) if (options.qos > 0 && subscriber.isKeeping) count++
  return count
}

/** One member of each gets it; who that is, and whether it keeps it, is known when it is given. */
const keepingGroups = (groups: ReadonlyArray<SharedGroup>): number => {
  let count = 0
  for (const group of groups) if (group.isKeeping) count++
  return count
}
