/**
 * The retained messages of a new subscription, in pages that the client's own pace calls for.
 */

import type { RetainedPage } from "../router/Subscriber.ts"
import { deliver } from "./outbound.ts"
import type { Replay, SessionOutputs, SessionState } from "./SessionState.ts"

/** Retained messages asked for at a time; the next page waits until the client has taken these. */
const REPLAY_PAGE = 32

export const startReplay = (state: SessionState, replay: Replay, out: SessionOutputs): void => {
  const replays = (state.replays ??= [])
  replays.push(replay)
  continueReplay(state, out)
}

/**
 * The filter is no longer subscribed: what is left of its retained messages does not come. [MQTT-3.10.4-2]
 */
export const stopReplay = (state: SessionState, topicFilter: string, out: SessionOutputs): void => {
  const { replays } = state
  if (replays === undefined) return
  // The page that was asked for, if it was for this one, is nobody's now.
  if (replays[0]?.topicFilter === topicFilter) state.replayAsked = false
  state.replays = replays.filter((replay) => replay.topicFilter !== topicFilter)
  continueReplay(state, out)
}

/** Asks for the next page when the client has taken most of the last one. */
export const continueReplay = (state: SessionState, out: SessionOutputs): void => {
  const { link, replays } = state
  if (replays === undefined || state.replayAsked || link === undefined) return
  const replay = replays[0]
  if (replay === undefined) {
    state.replays = undefined
    return
  }
  if (link.backlogBytes > state.settings.outboundBytesMax / 2 || state.queuedQos0 !== undefined) return
  if (state.backlog !== undefined || (state.queue !== undefined && state.queue.waiting > 0)) return
  state.replayAsked = true
  out.askRetained(replay, Math.min(REPLAY_PAGE, matchesMax(state) - replay.given))
}

/** A page of retained messages. */
export const onRetainedPage = (
  state: SessionState,
  page: RetainedPage,
  nowMs: number,
  out: SessionOutputs
): void => {
  const replay = state.replays?.[0]
  // Asked for twice, by two connections; or for one that is not there: the replay goes on when it is back.
  if (replay === undefined || replay.options !== page.request.options || replay.from !== page.request.from)
    return
  if (state.link === undefined) return
  for (const publication of page.publications) {
    // [MQTT-3.8.3-3]
    if (replay.noLocal && publication.publisherId === state.clientId) continue
    state.counters.retainedSent++
    state.counters.retainedBytesSent += publication.payloadBytes
    deliver(state, { publication, options: replay.options, isHeld: false }, nowMs, out)
  }
  // Not before: a delivery pumps, and would ask for the same page again.
  state.replayAsked = false
  const given = replay.given + page.publications.length
  const mayGoOn = given < matchesMax(state)
  if (page.cursor !== undefined && mayGoOn) {
    state.replays?.splice(0, 1, { ...replay, from: page.cursor, given })
  } else state.replays?.shift()
  if (page.cursor !== undefined && !mayGoOn) {
    out.reached("retainedMatchMax", `no more retained messages for ${replay.topicFilter}`)
  }
  continueReplay(state, out)
}

/** Retained messages that one filter may bring. */
const matchesMax = ({ settings: { retainedMatchMax } }: SessionState): number =>
  retainedMatchMax === 0 ? Number.POSITIVE_INFINITY : retainedMatchMax
