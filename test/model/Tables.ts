/** What a journal commits to: the state that a crash leaves. */

import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DurableState, type StoredDelivery, type StoredSession } from "../../src/storage/DurableState.ts"
import { decodeFrame } from "../../src/storage/frame/FrameReader.ts"
import { queuePage } from "../../src/storage/memory.ts"
import type { StoredRetained } from "../../src/storage/RetainedStore.ts"
import type { QueueRequest } from "../../src/storage/SessionStore.ts"
import { readAll, readDelivery, readRetained, readSession } from "../../src/storage/sqlite/pages.ts"
import type { PageReply, Request } from "../../src/storage/sqlite/requests.ts"
import { type ReplyTo, SqliteThread } from "../../src/storage/sqlite/SqliteThread.ts"

export interface Tables {
  readonly apply: (frame: Uint8Array<ArrayBuffer>) => void
  readonly sessions: () => Promise<ReadonlyArray<StoredSession>>
  readonly retained: () => Promise<ReadonlyArray<StoredRetained>>
  readonly queue: (request: QueueRequest, answer: (page: ReadonlyArray<StoredDelivery>) => void) => void
  /** Something is under way. */
  readonly isBusy: boolean
  /** As after a crash. */
  readonly reopen: () => Promise<void>
  readonly close: () => Promise<void>
}

export class MemoryTables implements Tables {
  private readonly state = new DurableState()
  readonly isBusy = false

  apply(frame: Uint8Array): void {
    for (const record of decodeFrame(frame).records) this.state.apply(record)
  }

  async sessions(): Promise<ReadonlyArray<StoredSession>> {
    return [...this.state.sessions()]
  }

  async retained(): Promise<ReadonlyArray<StoredRetained>> {
    return [...this.state.retained()]
  }

  queue(request: QueueRequest, answer: (page: ReadonlyArray<StoredDelivery>) => void): void {
    answer(queuePage(this.state, request))
  }

  async reopen(): Promise<void> {}
  async close(): Promise<void> {}
}

/** Rows that are read at a time: few, so that there are several pages. */
const PAGE = 2

/** The tables of a database in a directory of its own. */
export class SqliteTables implements Tables {
  private readonly directory = mkdtempSync(join(tmpdir(), "heddle-model-"))
  private readonly thread = new SqliteThread({ file: join(this.directory, "heddle.db"), bytesMax: 2 ** 40 })
  private under = 0

  static async open(): Promise<SqliteTables> {
    const tables = new SqliteTables()
    await tables.start()
    return tables
  }

  get isBusy(): boolean {
    return this.under > 0
  }

  apply(frame: Uint8Array<ArrayBuffer>): void {
    this.request({ _tag: "Apply", frame, isSynced: false }, () => {})
  }

  async sessions(): Promise<ReadonlyArray<StoredSession>> {
    return this.pages("Sessions", (bytes) => readAll(bytes, readSession))
  }

  async retained(): Promise<ReadonlyArray<StoredRetained>> {
    return this.pages("Retained", (bytes) => readAll(bytes, readRetained))
  }

  queue(request: QueueRequest, answer: (page: ReadonlyArray<StoredDelivery>) => void): void {
    this.request({ _tag: "Queues", requests: [request] }, ({ parts: [part] }) =>
      answer(part === undefined ? [] : readAll(part, readDelivery))
    )
  }

  async reopen(): Promise<void> {
    await this.ask({ _tag: "Close" })
    this.thread.kill()
    await this.start()
  }

  async close(): Promise<void> {
    await this.ask({ _tag: "Close" })
    this.thread.kill()
    rmSync(this.directory, { recursive: true })
  }

  private start(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.thread.open((reply) => (reply._tag === "Done" ? resolve() : reject(new Error(reply.reason))))
    })
  }

  private async pages<A>(
    _tag: "Sessions" | "Retained",
    read: (bytes: Uint8Array) => ReadonlyArray<A>
  ): Promise<ReadonlyArray<A>> {
    const all: Array<A> = []
    for (let after: number | undefined = 0; after !== undefined; ) {
      const page: PageReply = await this.ask({ _tag, after, max: PAGE })
      all.push(...read(page.bytes))
      after = page.next
    }
    return all
  }

  private ask<R extends Request>(request: R): Promise<Answer<R>> {
    return new Promise((resolve) => this.request(request, resolve))
  }

  private request<R extends Request>(request: R, then: (reply: Answer<R>) => void): void {
    this.under++
    this.thread.request(request, (reply) => {
      this.under--
      if (reply._tag === "Failed") throw new Error(`the database: ${reply.reason}`)
      then(reply as Answer<R>)
    })
  }
}

type Answer<R extends Request> = Exclude<ReplyTo<R>, { readonly _tag: "Failed" }>
