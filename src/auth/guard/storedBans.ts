/** A ban list that begins with the bans that are stored, so that a restart lets nobody in. */

import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { BanStore } from "../../storage/BanStore.ts"
import type { StorageError } from "../../storage/StorageError.ts"
import { BanList } from "./BanList.ts"

/** What is over is removed from the store meanwhile. */
export const layerStoredBans: Layer.Layer<BanList, StorageError, BanStore> = Layer.effect(
  BanList,
  Effect.gen(function* () {
    const list = yield* BanList
    const store = yield* BanStore
    const nowMs = yield* Clock.currentTimeMillis
    for (const ban of yield* store.all) {
      if (ban.untilMs !== undefined && ban.untilMs <= nowMs) yield* store.remove(ban.subject)
      else list.add(ban)
    }
    return list
  })
).pipe(Layer.provide(BanList.layer))
