/**
 * What one session adds to its tenant's gauges: its connection, itself, what it has subscribed to, what waits
 * for its client.
 *
 * Brought in step at the end of each of the session's turns, so that between turns the gauges are exact: a
 * limit is judged by them.
 */

import type { Counters } from "../telemetry/Counters.ts"
import type { SessionState } from "./SessionState.ts"

/** What a message takes beside its payload, properties and topic, by estimate. */
const MESSAGE_BYTES = 500

export class SessionAccount {
  private messages = 0
  private bytes = 0
  private memoryBytes = 0
  private subscriptions = 0
  private shared = 0
  private isPresent = false
  private isPersistent = false
  /** Clients on their way to the session, and whether one of them will have it outlive its connection. */
  private expected = 0
  private expectsPersistent = false

  constructor(private readonly counters: Counters) {}

  get presence(): { readonly isPresent: boolean; readonly isPersistent: boolean } {
    const { isPersistent, isPresent } = this
    return { isPersistent, isPresent }
  }

  /** Subscriptions that the session has made since the gauges were brought in step. */
  unaccounted(state: SessionState): { readonly subscriptions: number; readonly shared: number } {
    return {
      subscriptions: (state.subscriptions?.size ?? 0) - this.subscriptions,
      shared: state.sharedHeld - this.shared
    }
  }

  /** A client has been let in: it counts from now on, not only when the session has read its mail. */
  expect(state: SessionState, isPersistent: boolean): void {
    this.expected++
    if (isPersistent) this.expectsPersistent = true
    this.bring(state)
  }

  /** The session has attached a client that was expected. */
  arrived(): void {
    this.expected = Math.max(0, this.expected - 1)
    if (this.expected === 0) this.expectsPersistent = false
  }

  bring(state: SessionState): void {
    const isPresent = state.link !== undefined || this.expected > 0
    const isPersistent = state.keepsState || this.expectsPersistent
    const subscriptions = state.subscriptions?.size ?? 0
    if (isPersistent !== this.isPersistent) this.changeKind(isPersistent)
    if (isPresent !== this.isPresent) this.enter(isPresent)
    if (subscriptions !== this.subscriptions || state.sharedHeld !== this.shared)
      this.hold(subscriptions, state.sharedHeld)
    this.queue(state)
  }

  /** The session is gone, and with it what it held. */
  close(): void {
    this.wait(0, 0, 0)
    this.hold(0, 0)
    this.changeKind(false)
    this.enter(false)
  }

  private enter(isPresent: boolean): void {
    const { counters } = this
    if (isPresent !== this.isPresent) counters.connections += isPresent ? 1 : -1
    this.isPresent = isPresent
    if (counters.connections > counters.connectionsPeak) counters.connectionsPeak = counters.connections
  }

  /** What it holds goes over to the gauges of its new kind. */
  private changeKind(isPersistent: boolean): void {
    if (isPersistent === this.isPersistent) return
    const { counters, subscriptions } = this
    const sign = isPersistent ? 1 : -1
    counters.persistentSessions += sign
    counters.persistentBytes += sign * this.bytes
    counters.persistentSubscriptions += sign * subscriptions
    counters.transientSubscriptions -= sign * subscriptions
    this.isPersistent = isPersistent
  }

  private hold(subscriptions: number, shared: number): void {
    const { counters } = this
    const more = subscriptions - this.subscriptions
    if (this.isPersistent) counters.persistentSubscriptions += more
    else counters.transientSubscriptions += more
    counters.sharedSubscriptions += shared - this.shared
    this.subscriptions = subscriptions
    this.shared = shared
  }

  private queue({ backlog, queue, queuedQos0, queuedQos0Bytes }: SessionState): void {
    const messages = (queue?.size ?? 0) + (backlog?.size ?? 0)
    const bytes = (queue?.bytes ?? 0) + (backlog?.bytes ?? 0)
    const inMemory = messages - (backlog?.onRecord ?? 0) + (queuedQos0?.length ?? 0)
    const memoryBytes =
      (queue?.bytes ?? 0) + (backlog?.memoryBytes ?? 0) + queuedQos0Bytes + inMemory * MESSAGE_BYTES
    if (messages !== this.messages || bytes !== this.bytes || memoryBytes !== this.memoryBytes)
      this.wait(messages, bytes, memoryBytes)
  }

  private wait(messages: number, bytes: number, memoryBytes: number): void {
    const { counters } = this
    counters.queuedMessages += messages - this.messages
    counters.queuedBytes += bytes - this.bytes
    if (this.isPersistent) counters.persistentBytes += bytes - this.bytes
    counters.queuedMemoryBytes += memoryBytes - this.memoryBytes
    this.messages = messages
    this.bytes = bytes
    this.memoryBytes = memoryBytes
  }
}
