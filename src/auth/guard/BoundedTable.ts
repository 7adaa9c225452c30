/**
 * A table that strangers fill: keyed by what they say of themselves, so both its size and that of its keys
 * are bounded. What was touched last stays; when it is full, what was touched longest ago goes.
 */

import { createHash } from "node:crypto"

/** Longer keys are kept as their digest. */
const KEY_LENGTH_MAX = 64

/** One key of several parts, which no other parts make. */
export const tableKey = (...parts: ReadonlyArray<string>): string => {
  const key = parts.map((part) => `${part.length}:${part}`).join("")
  return key.length <= KEY_LENGTH_MAX ? key : createHash("sha256").update(key).digest("base64")
}

export class BoundedTable<V> {
  private readonly entries = new Map<string, V>()

  constructor(private readonly sizeMax: number) {}

  get size(): number {
    return this.entries.size
  }

  get(key: string): V | undefined {
    return this.entries.get(key)
  }

  /** Sets the value and makes it the youngest. */
  set(key: string, value: V): void {
    this.entries.delete(key)
    if (this.entries.size >= this.sizeMax) {
      const { value: oldest, done } = this.entries.keys().next()
      if (done !== true) this.entries.delete(oldest)
    }
    this.entries.set(key, value)
  }

  delete(key: string): boolean {
    return this.entries.delete(key)
  }
}
