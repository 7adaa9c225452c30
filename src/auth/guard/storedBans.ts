/** Bans that survive a restart: brought back before anybody is let in. */

import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { BanStore } from "../../storage/BanStore.ts"
import type { StorageError } from "../../storage/StorageError.ts"
import type { BanList } from "./BanList.ts"

/** Puts the stored bans on the list. What is over is removed from the store meanwhile. */
export const restoreBans = (list: BanList["Type"]): Effect.Effect<void, StorageError, BanStore> =>
  Effect.gen(function* () {
    const store = yield* BanStore
    const nowMs = yield* Clock.currentTimeMillis
    for (const ban of yield* store.all) {
      if (ban.untilMs !== undefined && ban.untilMs <= nowMs) yield* store.remove(ban.subject)
      else list.add(ban)
    }
  })
