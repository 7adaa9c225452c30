/**
 * QoS 0 towards the client: written at once or dropped; kept only where the tenant wants that for an absent
 * client, where a rate delays it, or where the policy has to be asked.
 */

import { Fifo } from "../actor/Fifo.ts"
import type { Publication } from "../router/Publication.ts"
import type { DeliveryOptions } from "../router/Subscriber.ts"
import { tellDropped } from "./dropped.ts"
import { mayReceive, WAITED } from "./judging.ts"
import type { Link } from "./Link.ts"
import type { SessionOutputs, SessionState } from "./SessionState.ts"
import { outgoing } from "./screenedDelivery.ts"
import { delivered, hasExpired, headerOf, isOverRate, send } from "./sending.ts"

export const deliverQos0 = (
  state: SessionState,
  publication: Publication,
  options: DeliveryOptions,
  nowMs: number,
  out: SessionOutputs
): void => {
  const { link } = state
  // [MQTT-4.6.0-6]: also for a client that is back, as long as older ones wait.
  if (link === undefined || state.queuedQos0 !== undefined || state.isWithheld) {
    if (state.settings.queueQos0) keepQos0(state, publication, options, out)
    else if (link !== undefined) delayQos0(state, publication, options, out)
    return
  }
  // A page of retained messages was asked for because there is room.
  if (link.backlogBytes > state.settings.outboundBytesMax && !options.isRetained) {
    state.counters.droppedSlowConsumer++
    tellDropped(state, publication, "slow-consumer", out, 0)
    return
  }
  if (hasExpired(state, publication, nowMs, out)) return
  if (isOverRate(state, nowMs, out)) return delayQos0(state, publication, options, out)
  const leaving = outgoing(state, publication, "qos0", nowMs, out)
  if (leaving === "awaited") delayQos0(state, publication, options, out)
  else if (leaving !== "withheld") {
    send(state, leaving, headerOf(state, publication, options, nowMs), nowMs, out)
    if (!options.isRetained) delivered(state, publication, nowMs)
  }
}

/** Waits for the client's rate, or for the policy, as it would for its socket. */
const delayQos0 = (
  state: SessionState,
  publication: Publication,
  options: DeliveryOptions,
  out: SessionOutputs
): void => {
  // A page of retained messages was asked for because there was room.
  if (state.queuedQos0Bytes + publication.bytes > state.settings.outboundBytesMax && !options.isRetained) {
    state.counters.droppedSlowConsumer++
    tellDropped(state, publication, "slow-consumer", out, 0)
    return
  }
  state.queuedQos0Bytes += publication.bytes
  ;(state.queuedQos0 ??= new Fifo()).push([publication.keep(), options])
}

const keepQos0 = (
  state: SessionState,
  publication: Publication,
  options: DeliveryOptions,
  out: SessionOutputs
): void => {
  const { queueBytesMax, queueMessagesMax } = state.settings
  const kept = (state.queuedQos0 ??= new Fifo())
  if (state.settings.qos0DropOldest) makeRoomForQos0(state, kept, publication, out)
  if (kept.length >= queueMessagesMax || state.queuedQos0Bytes + publication.bytes > queueBytesMax) {
    state.counters.droppedQueueFull++
    tellDropped(state, publication, "queue-full", out, 0)
    return
  }
  state.queuedQos0Bytes += publication.bytes
  kept.push([publication.keep(), options])
}

/** The oldest give way, but to none that would not fit alone. */
const makeRoomForQos0 = (
  state: SessionState,
  kept: Fifo<readonly [Publication, DeliveryOptions]>,
  { bytes }: Publication,
  out: SessionOutputs
): void => {
  const { queueBytesMax, queueMessagesMax } = state.settings
  if (bytes > queueBytesMax || queueMessagesMax === 0) return
  while (kept.length >= queueMessagesMax || state.queuedQos0Bytes + bytes > queueBytesMax) {
    const oldest = kept.shift()
    if (oldest === undefined) return
    state.queuedQos0Bytes -= oldest[0].bytes
    state.counters.droppedQueueFull++
    tellDropped(state, oldest[0], "queue-full", out, 0)
  }
}

/** As fast as the client takes them: what was kept for it is not dropped now for being too much at once. */
export const sendKeptQos0 = (state: SessionState, link: Link, nowMs: number, out: SessionOutputs): void => {
  const kept = state.queuedQos0
  while (kept !== undefined && link.backlogBytes <= state.settings.outboundBytesMax) {
    if (kept.length > 0 && isOverRate(state, nowMs, out)) return
    const next = kept.peek()
    if (next === undefined) {
      state.queuedQos0 = undefined
      return
    }
    const [publication, options] = next
    const waiting = { publication, options, position: WAITED }
    const isWanted = !hasExpired(state, publication, nowMs, out) && mayReceive(state, waiting, out)
    const leaving = isWanted ? outgoing(state, publication, "qos0", nowMs, out) : "withheld"
    if (leaving === "awaited") return
    kept.shift()
    state.queuedQos0Bytes -= publication.bytes
    if (leaving !== "withheld") send(state, leaving, headerOf(state, publication, options, nowMs), nowMs, out)
  }
}
