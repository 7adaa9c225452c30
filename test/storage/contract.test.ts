import { afterAll, setDefaultTimeout } from "bun:test"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { AdministrationState } from "../../src/storage/AdministrationState.ts"
import { DurableState } from "../../src/storage/DurableState.ts"
import { layerMemory } from "../../src/storage/memory.ts"
import { layerSqlite } from "../../src/storage/sqlite.ts"
import { administrationContract } from "./administrationContract.ts"
import { contract, type Storage } from "./contract.ts"

// Each life of the storage starts a thread.
setDefaultTimeout(30_000)

const directory = mkdtempSync(join(tmpdir(), "heddle-storage-"))
afterAll(() => rmSync(directory, { recursive: true }))
let made = 0

const storages: ReadonlyArray<Storage> = [
  {
    name: "memory",
    make: () => {
      const state = new DurableState()
      const administration = new AdministrationState()
      return { layer: () => layerMemory(state, administration) }
    }
  },
  {
    name: "SQLite",
    make: () => {
      const path = join(directory, String(made++))
      return { layer: () => layerSqlite({ path }) }
    }
  }
]

for (const storage of storages) {
  contract(storage)
  administrationContract(storage)
}
