/**
 * Clients that connect again and again: two devices that were given one client identifier, or one that dies
 * after each CONNECT. Counted only when a client has proved who it is, so that nobody can have another
 * banned. Pure: instants are passed in.
 */

import { BoundedTable } from "./BoundedTable.ts"

export interface FlapOptions {
  /** So many connections within the window are too many. */
  readonly connectsMax: number
  readonly windowMs: number
  readonly clientsMax: number
}

interface Connects {
  readonly sinceMs: number
  readonly count: number
}

export class FlapDetector {
  private readonly clients: BoundedTable<Connects>

  constructor(private readonly options: FlapOptions) {
    this.clients = new BoundedTable(options.clientsMax)
  }

  /** True when this connection is one too many; counting then begins anew. */
  connected(key: string, nowMs: number): boolean {
    const { connectsMax, windowMs } = this.options
    const before = this.clients.get(key)
    const isNew = before === undefined || nowMs - before.sinceMs >= windowMs || nowMs < before.sinceMs
    const connects = isNew ? { sinceMs: nowMs, count: 1 } : { ...before, count: before.count + 1 }
    if (connects.count > connectsMax) return this.clients.delete(key)
    this.clients.set(key, connects)
    return false
  }
}
