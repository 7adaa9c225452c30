/**
 * A power cut: of what a killed broker has written, only what it had synced is certain.
 *
 * `powerCut.c`, preloaded into the broker, writes down every write, truncation and sync of the files in the
 * database's directory. `cut` then makes the files what the disk might have: as of each file's last sync, and
 * of what was written since any blocks and none of the others, in whatever order the disk liked. Bytes that
 * nobody synced are thereby lost, torn and reordered.
 */

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Disk } from "./crash.ts"

type Random = (below: number) => number

/** The C compiler; undefined when there is none. */
export const compiler: string | undefined = Bun.which("cc") ?? undefined

/** Why there can be no power cut here; undefined when there can. */
export const whyNot: string | undefined =
  process.platform !== "linux"
    ? "power cuts need Linux: they preload a library"
    : compiler === undefined
      ? "power cuts need a C compiler (cc)"
      : undefined

const Kind = { Write: 1, Truncate: 2, Sync: 3, Unlink: 4, Rename: 5 } as const
const HEAD_BYTES = 24
/** Disks write at least this much at a time; a write that was not synced may be torn there. */
const BLOCK_BYTES = 512

interface Operation {
  readonly kind: number
  readonly path: string
  /** Of a truncation the length. */
  readonly offset: number
  readonly bytes: Uint8Array
}

export class PowerCut implements Disk {
  private readonly workDirectory = mkdtempSync(join(tmpdir(), "heddle-power-"))
  private readonly library: string
  private readonly journal: string
  private before = new Map<string, Buffer>()
  syncs = 0
  /** Bytes that were written, and of those the ones that were not synced when the power was cut. */
  writtenBytes = 0
  lostBytes = 0

  /** `isDeaf`: the disk says that it has synced, and has not; to see that this shows. */
  constructor(private readonly options: { readonly isDeaf: boolean }) {
    this.library = join(this.workDirectory, "powerCut.so")
    this.journal = join(this.workDirectory, "journal")
    const source = join(import.meta.dir, "powerCut.c")
    const made = Bun.spawnSync([
      compiler ?? "cc",
      "-shared",
      "-fPIC",
      "-O1",
      "-o",
      this.library,
      source,
      "-ldl"
    ])
    if (!made.success) throw new Error(`powerCut.c does not compile: ${made.stderr.toString()}`)
  }

  /** What the broker needs in its environment to be watched. */
  env(directory: string): Readonly<Record<string, string>> {
    return {
      LD_PRELOAD: this.library,
      POWER_CUT_DIRECTORY: `${directory}/`,
      POWER_CUT_JOURNAL: this.journal,
      ...(this.options.isDeaf && { POWER_CUT_DEAF: "1" })
    }
  }

  /** The broker is about to start: what is there now is on the disk. */
  begin(directory: string): void {
    rmSync(this.journal, { force: true })
    this.before = filesIn(directory)
  }

  /** The broker was killed: the files become what the disk may have of them. */
  cut(directory: string, random: Random): void {
    const left = this.replay(this.operations(), random)
    for (const path of filesIn(directory).keys()) rmSync(path)
    for (const [path, bytes] of left) writeFileSync(path, bytes)
  }

  remove(): void {
    rmSync(this.workDirectory, { recursive: true, force: true })
  }

  private operations(): ReadonlyArray<Operation> {
    if (!existsSync(this.journal)) return []
    const bytes = readFileSync(this.journal)
    const operations: Array<Operation> = []
    for (let at = 0; at + HEAD_BYTES <= bytes.length; ) {
      const kind = bytes.readUInt32LE(at)
      const pathBytes = bytes.readUInt32LE(at + 4)
      const offset = Number(bytes.readBigUInt64LE(at + 8))
      const count = Number(bytes.readBigUInt64LE(at + 16))
      const end = at + HEAD_BYTES + pathBytes + count
      if (end > bytes.length) break
      const path = bytes.toString("utf8", at + HEAD_BYTES, at + HEAD_BYTES + pathBytes)
      operations.push({ kind, path, offset, bytes: bytes.subarray(end - count, end) })
      at = end
    }
    return operations
  }

  private replay(operations: ReadonlyArray<Operation>, random: Random): ReadonlyMap<string, Buffer> {
    const files = new Map([...this.before].map(([path, bytes]) => [path, new DiskFile(bytes)]))
    for (const operation of operations) {
      const { bytes, kind, path } = operation
      let file = files.get(path)
      if (file === undefined) {
        file = new DiskFile(undefined)
        files.set(path, file)
      }
      if (kind === Kind.Sync) {
        this.syncs++
        file.sync()
      } else if (kind === Kind.Unlink) files.delete(path)
      else if (kind === Kind.Rename) {
        files.delete(path)
        files.set(Buffer.from(bytes).toString("utf8"), file)
      } else {
        this.writtenBytes += bytes.length
        file.change(operation)
      }
    }
    const left = new Map<string, Buffer>()
    for (const [path, file] of files) {
      // It is built anew from what is there: its memory was never on the disk.
      if (path.endsWith("-shm")) continue
      this.lostBytes += file.unsyncedBytes
      const bytes = file.afterCut(random)
      if (bytes !== undefined) left.set(path, bytes)
    }
    return left
  }
}

/** One file: what is certain of it, and what was done since. */
class DiskFile {
  private length: number
  private certain: Buffer
  private exists: boolean
  private since: Array<Operation> = []

  constructor(bytes: Buffer | undefined) {
    this.exists = bytes !== undefined
    this.certain = bytes ?? Buffer.alloc(0)
    this.length = this.certain.length
  }

  get unsyncedBytes(): number {
    return this.since.reduce((sum, { bytes }) => sum + bytes.length, 0)
  }

  change(operation: Operation): void {
    this.since.push(operation)
  }

  sync(): void {
    this.exists = true
    for (const operation of this.since.splice(0)) this.apply(operation)
  }

  /** Some of what was not synced came to the disk, block by block. Undefined when there is no such file. */
  afterCut(random: Random): Buffer | undefined {
    // Most often all or nothing of it; sometimes this and that.
    const chance = [0, 0, 50, 100][random(4)] ?? 0
    for (const operation of this.since.splice(0)) {
      if (operation.kind === Kind.Truncate) {
        if (random(100) < chance) this.apply(operation)
        continue
      }
      for (const part of blocksOf(operation)) if (random(100) < chance) this.apply(part)
    }
    return this.exists ? this.certain.subarray(0, this.length) : undefined
  }

  private apply({ bytes, kind, offset }: Operation): void {
    this.exists = true
    if (kind === Kind.Truncate) {
      if (offset < this.length) this.certain.fill(0, offset, this.length)
      this.grow(offset)
      this.length = offset
      return
    }
    this.grow(offset + bytes.length)
    this.certain.set(bytes, offset)
    this.length = Math.max(this.length, offset + bytes.length)
  }

  private grow(length: number): void {
    if (length <= this.certain.length) return
    const larger = Buffer.alloc(Math.max(length, this.certain.length * 2))
    this.certain.copy(larger, 0, 0, this.length)
    this.certain = larger
  }
}

const blocksOf = (write: Operation): ReadonlyArray<Operation> => {
  const blocks: Array<Operation> = []
  for (let at = 0; at < write.bytes.length; ) {
    const end = Math.min(write.bytes.length, at + BLOCK_BYTES - ((write.offset + at) % BLOCK_BYTES))
    blocks.push({ ...write, offset: write.offset + at, bytes: write.bytes.subarray(at, end) })
    at = end
  }
  return blocks
}

const filesIn = (directory: string): Map<string, Buffer> => {
  const files = new Map<string, Buffer>()
  if (!existsSync(directory)) return files
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    // A socket holds nothing that could be lost.
    if (!entry.isFile()) continue
    const path = join(directory, entry.name)
    files.set(path, readFileSync(path))
  }
  return files
}
