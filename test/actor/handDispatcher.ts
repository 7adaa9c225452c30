/**
 * A dispatcher without its fiber: a test steps it, and both its clocks stand still until the test moves them.
 */

import * as Clock from "effect/Clock"
import { Dispatcher, type DispatcherOptions, defaultDispatcherOptions } from "../../src/actor/Dispatcher.ts"

export interface HandDispatcher {
  readonly dispatcher: Dispatcher
  readonly time: { nowMs: number; elapsedMs: number }
}

export const handDispatcher = (options: Partial<DispatcherOptions> = {}): HandDispatcher => {
  const time = { nowMs: 1_000_000, elapsedMs: 0 }
  const clock = Object.assign(Clock.make(), { unsafeCurrentTimeMillis: () => time.nowMs })
  const elapsed = () => time.elapsedMs
  // One length of tick, whoever is there, unless a test says otherwise.
  const sharedTickMs = options.tickMs ?? defaultDispatcherOptions.tickMs
  const dispatcher = new Dispatcher(clock, { ...defaultDispatcherOptions, sharedTickMs, elapsed, ...options })
  return { dispatcher, time }
}
