/** A broker with tenants that can be administered, over storage in memory or in SQLite. */

import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { BanList } from "../../src/auth/guard/BanList.ts"
import { BanAdmin } from "../../src/control/BanAdmin.ts"
import { TenantAdmin } from "../../src/control/TenantAdmin.ts"
import { Explain } from "../../src/explain/Explain.ts"
import type { AdministrationStores } from "../../src/storage/administration.ts"
import type { Journal } from "../../src/storage/Journal.ts"
import { layerMemory } from "../../src/storage/memory.ts"
import type { RetainedStore } from "../../src/storage/RetainedStore.ts"
import type { SessionStore } from "../../src/storage/SessionStore.ts"
import {
  ConfiguredTenants,
  defaultTenantTable,
  type TenantTable
} from "../../src/tenant/ConfiguredTenants.ts"
import { layerStoredDirectory } from "../../src/tenant/storedDirectory.ts"
import { TestBroker, type TestBrokerOptions } from "../support/testBroker.ts"
import { byUsername } from "../tenant/byUsername.ts"

export type Storage = Layer.Layer<Journal | SessionStore | RetainedStore | AdministrationStores>

export interface Administered {
  readonly broker: TestBroker
  readonly admin: TenantAdmin["Type"]
  readonly bans: BanAdmin["Type"]
  readonly explain: Explain["Type"]["explain"]
}

export interface AdministeredOptions extends Omit<TestBrokerOptions, "storage" | "directory" | "beside"> {
  readonly storage?: Storage
  readonly table?: Partial<TenantTable>
}

/** Clients say who they are: their user name is `tenant/principal`. */
export const administered = async (
  options: AdministeredOptions,
  body: (administered: Administered) => Promise<void>
): Promise<void> => {
  const { storage = layerMemory(), table, ...rest } = options
  const configured = ConfiguredTenants.layer({ ...defaultTenantTable, ...table })
  const directory = Layer.provide(layerStoredDirectory, [configured, storage])
  let services: Omit<Administered, "broker"> | undefined
  const beside = Layer.effectDiscard(
    Effect.gen(function* () {
      const { explain } = yield* Explain
      services = { admin: yield* TenantAdmin, bans: yield* BanAdmin, explain }
    })
  ).pipe(
    Layer.provide([TenantAdmin.layer, BanAdmin.layer, Explain.layer]),
    Layer.provide([configured, storage, directory, BanList.layer])
  )
  const broker = await TestBroker.start({
    authenticator: byUsername,
    ...rest,
    storage,
    // The broker finds a ban list and a usage ledger where there are some.
    directory: Layer.mergeAll(directory, BanList.layer, storage),
    beside
  })
  try {
    if (services === undefined) throw new TypeError("the administration was not built")
    await body({ broker, ...services })
  } finally {
    await broker.stop()
  }
}
