/** Everything that is stored, in a form that can be compared: no orders but that of queues, bytes as text. */

import * as Effect from "effect/Effect"
import type { DurableState, StoredDelivery, StoredSession } from "../../src/storage/DurableState.ts"
import type { StoredRetained } from "../../src/storage/RetainedStore.ts"
import type { SessionStore } from "../../src/storage/SessionStore.ts"
import { StorageError } from "../../src/storage/StorageError.ts"

/** Bytes as hexadecimal text, maps and sets as sorted lists. */
export const plain = (value: unknown): unknown => {
  if (value instanceof Uint8Array) return `hex:${Buffer.from(value).toString("hex")}`
  if (value instanceof Map) return sorted([...value].map(plain))
  if (value instanceof Set) return sorted([...value].map(plain))
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== "object" || value === null) return value === Number.POSITIVE_INFINITY ? "any" : value
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, field]) => [name, plain(field)])
  )
}

const sorted = (values: ReadonlyArray<unknown>): ReadonlyArray<string> =>
  values.map((value) => JSON.stringify(value)).sort()

export interface Dump {
  readonly sessions: ReadonlyArray<string>
  readonly retained: ReadonlyArray<string>
}

export const dump = (
  sessions: ReadonlyArray<readonly [StoredSession, ReadonlyArray<StoredDelivery>]>,
  retained: ReadonlyArray<StoredRetained>
): Dump => ({
  sessions: sorted(sessions.map(([session, queue]) => plain({ session, queue }))),
  retained: sorted(retained.map(plain))
})

export const dumpOf = (state: DurableState): Dump =>
  dump(
    [...state.sessions()].map((session) => [session, state.queue(session.tenant, session.clientId)] as const),
    [...state.retained()]
  )

export const dumpOfStores = (
  sessions: ReadonlyArray<StoredSession>,
  retained: ReadonlyArray<StoredRetained>,
  store: SessionStore["Type"]
): Effect.Effect<Dump, StorageError> =>
  Effect.map(
    Effect.forEach(sessions, (session) => {
      const { clientId, tenant } = session
      const request = { tenant, clientId, from: 0, messagesMax: 1_000_000, bytesMax: 1e12 }
      return Effect.async<readonly [StoredSession, ReadonlyArray<StoredDelivery>], StorageError>((resume) =>
        store.queue(request, (queue) =>
          resume(
            queue instanceof StorageError ? Effect.fail(queue) : Effect.succeed([session, queue] as const)
          )
        )
      )
    }),
    (queues) => dump(queues, retained)
  )
