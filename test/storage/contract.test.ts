import { afterAll, setDefaultTimeout } from "bun:test"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DurableState } from "../../src/storage/DurableState.ts"
import { layerMemory } from "../../src/storage/memory.ts"
import { layerSqlite } from "../../src/storage/sqlite.ts"
import { contract } from "./contract.ts"

// Each life of the storage starts a thread.
setDefaultTimeout(30_000)

const directory = mkdtempSync(join(tmpdir(), "heddle-storage-"))
afterAll(() => rmSync(directory, { recursive: true }))
let made = 0

contract({
  name: "memory",
  make: () => {
    const state = new DurableState()
    return { layer: () => layerMemory(state) }
  }
})

contract({
  name: "SQLite",
  make: () => {
    const path = join(directory, String(made++))
    return { layer: () => layerSqlite({ path }) }
  }
})
