/**
 * Permissions of a session are others, or it has been taken up by a new connection: what it holds is judged
 * again.
 *
 * A subscription that is not allowed any more is given up, on record as well; the client cannot be told, so
 * an event says it. What waits is judged when it is sent, see `judging.ts`; so is what an earlier connection
 * was sent and would be sent again. The will is judged when it fires. An exchange of QoS 2 that has come to
 * its PUBREC goes on, in either direction.
 *
 * An authorizer that cannot be asked takes nothing away. But nobody is served by what is not known: the
 * connection is closed, and the session is there for the next.
 */

import { allowAll, type Permissions } from "../auth/Authorizer.ts"
import { ReasonCode } from "../protocol/ReasonCode.ts"
import { groupKey } from "../router/SharedGroup.ts"
import type { PlainFilter, SharedFilter } from "../topic/TopicFilter.ts"
import { recordUnsubscribe } from "./durability.ts"
import { dropSubscription, heldFilter } from "./held.ts"
import { stopReplay } from "./replay.ts"
import { resume } from "./resume.ts"
import type { Judged, JudgedFilter, SessionOutputs, SessionState } from "./SessionState.ts"
import { giveBack } from "./sharing.ts"

/**
 * These permissions hold from now on. True when everything has been judged by them; else the authorizer has
 * been asked, and `onJudged` follows.
 */
export const rejudge = (state: SessionState, permissions: Permissions, out: SessionOutputs): boolean => {
  // What is not known of a client that is absent is no reason to take anything from it.
  if (state.identity.isAbsent === true && permissions.isForAbsent !== true) return true
  state.permissions = permissions
  if (permissions === allowAll) return true
  const { backlog, queue, queuedQos0 } = state
  if (backlog !== undefined || queuedQos0 !== undefined || (queue !== undefined && queue.size > 0)) {
    state.strictBefore = Math.max(state.strictBefore, queue?.nextPosition ?? 0)
  }
  const refused: Array<string> = []
  const asked: Array<JudgedFilter> = []
  for (const [topicFilter, subscription] of state.subscriptions ?? []) {
    const filter = heldFilter(topicFilter)
    if (filter === undefined) continue
    const group = filter._tag === "Shared" ? filter.group : undefined
    const decision = permissions.subscribe(filter.filter, subscription.qos, group)
    if (decision === false) refused.push(topicFilter)
    else if (decision !== true) asked.push({ topicFilter, subscription, decision })
  }
  revoke(state, refused, out)
  if (asked.length === 0) return true
  out.judge(permissions, asked)
  return false
}

/** What the authorizer said of the subscriptions that it was asked about. */
export const onJudged = (state: SessionState, judged: Judged, nowMs: number, out: SessionOutputs): void => {
  const { answers, asked, permissions } = judged
  // They have been asked about again since.
  if (permissions !== state.permissions) return
  // One that was replaced meanwhile has been judged as it is now.
  const refused = asked.filter(
    ({ subscription, topicFilter }, index) =>
      answers[index] === false && state.subscriptions?.get(topicFilter) === subscription
  )
  revoke(
    state,
    refused.map(({ topicFilter }) => topicFilter),
    out
  )
  if (state.link !== undefined && answers.some((answer) => answer === undefined)) return out.close(unknown)
  goOn(state, nowMs, out)
}

/** The permissions have been asked for again, as they have changed; undefined when there is no answer. */
export const onPermissions = (
  state: SessionState,
  permissions: Permissions | undefined,
  nowMs: number,
  out: SessionOutputs
): void => {
  if (permissions === undefined) {
    if (state.link === undefined) return
    state.permissions = { ...state.permissions, publish: never, subscribe: never }
    return out.close(unknown)
  }
  if (rejudge(state, permissions, out)) goOn(state, nowMs, out)
}

/** What was held back until everything was judged is sent. */
const goOn = (state: SessionState, nowMs: number, out: SessionOutputs): void => {
  if (!state.isWithheld) return
  state.isWithheld = false
  resume(state, nowMs, out)
}

const unknown = {
  // A DISCONNECT cannot say 0x88.
  reasonCode: ReasonCode.ServerBusy,
  reason: "nobody can say what the client may do",
  cause: "authorization-error"
} as const

const never = (): boolean => false

const revoke = (state: SessionState, topicFilters: ReadonlyArray<string>, out: SessionOutputs): void => {
  if (topicFilters.length === 0) return
  const removed: Array<PlainFilter | SharedFilter> = []
  // Deliveries may be on their way.
  state.strictBefore = Number.POSITIVE_INFINITY
  for (const topicFilter of topicFilters) {
    const filter = heldFilter(topicFilter)
    if (filter === undefined) continue
    dropSubscription(state, topicFilter)
    recordUnsubscribe(state, topicFilter, out)
    removed.push(filter)
    if (filter._tag === "Plain") stopReplay(state, topicFilter, out)
    out.tell({
      _tag: "SubscriptionRevoked",
      topicFilter,
      reason: "the client may not subscribe to it any more"
    })
  }
  out.unsubscribe(removed, undefined)
  if (state.link !== undefined) return
  // Behind that, or they would come back.
  for (const filter of removed) if (filter._tag === "Shared") leaveGroup(state, filter, out)
}

/** What waits for an absent member is the others'. A client that is there hands it on when it comes to it. */
const leaveGroup = (
  state: SessionState,
  { filter, group, ordered }: SharedFilter,
  out: SessionOutputs
): void => {
  const shared = out.groupOf(groupKey(group, filter, ordered))
  if (shared !== undefined) giveBack(state, shared, out)
}
