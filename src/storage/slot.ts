/**
 * The partition of durable state: every session, and every retained message, belongs to one of 4096 slots. A
 * cell is a set of slots with one writer; which slot something is in never changes, so the function must not
 * either. FNV-1a over the UTF-8 of both parts, with a byte between them that neither contains.
 */

import { Buffer } from "node:buffer"

export const slotCount = 4096

export const slotOf = (tenant: string, key: string): number => {
  let hash = 0x811c9dc5
  for (const byte of Buffer.from(tenant, "utf8")) hash = Math.imul(hash ^ byte, 0x01000193)
  hash = Math.imul(hash ^ 0xff, 0x01000193)
  for (const byte of Buffer.from(key, "utf8")) hash = Math.imul(hash ^ byte, 0x01000193)
  // The lowest bits of FNV-1a alone are the weakest.
  return (hash ^ (hash >>> 16)) & (slotCount - 1)
}
