/** Work for a dispatcher: turns that only count what they were given. */

import type { RunQueue, Turn } from "../../src/actor/Dispatcher.ts"

/** An actor reduced to its appetite: `pending` units of work, taken up to `perTurn` at a time. */
export class Load implements Turn {
  served = 0
  turns = 0

  constructor(
    private pending: number,
    private readonly perTurn: number = Number.POSITIVE_INFINITY,
    private readonly onTurn: (units: number) => void = () => {}
  ) {}

  runTurn(budget: number): number {
    const units = Math.min(budget, this.perTurn, this.pending)
    this.pending -= units
    this.served += units
    this.turns++
    this.onTurn(units)
    return units
  }

  staysReady(): boolean {
    return this.pending > 0
  }
}

export const scheduleAll = (queue: RunQueue, loads: ReadonlyArray<Load>) => {
  for (const load of loads) queue.schedule(load)
  return loads
}
export const served = (loads: ReadonlyArray<Load>) => loads.reduce((sum, load) => sum + load.served, 0)
export const endless = (actors: number, perTurn?: number, onTurn?: (units: number) => void) =>
  Array.from({ length: actors }, () => new Load(Number.POSITIVE_INFINITY, perTurn, onTurn))
