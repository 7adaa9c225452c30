/**
 * Administration on its way to the thread of the database: one request at a time, so that a batch of the
 * journal waits for a single short one at most, however much of it there is. Bounded.
 */

import * as Effect from "effect/Effect"
import { StorageError } from "../StorageError.ts"
import type { Row } from "./Database.ts"
import type { Effort, PurgedReply, RowsReply, Statement } from "./requests.ts"
import { isLost, type LostReply, type SqliteThread } from "./SqliteThread.ts"

const waitingMax = 10_000

type Asked =
  | { readonly _tag: "Statements"; readonly statements: ReadonlyArray<Statement>; readonly effort: Effort }
  | { readonly _tag: "Purge"; readonly tenant: string; readonly withUsage: boolean }

interface Job {
  readonly request: Asked
  readonly answer: (reply: RowsReply | PurgedReply | StorageError) => void
}

export class AdministrationQueue {
  private readonly waiting = new Set<Job>()
  private isUnderWay = false

  constructor(
    private readonly thread: Pick<SqliteThread, "request">,
    /** The thread has ended: somebody has to start another. */
    private readonly onLost: (reply: LostReply) => void
  ) {}

  /** The rows of the one statement. */
  rows(
    effort: Effort,
    text: string,
    parameters: Statement["parameters"] = []
  ): Effect.Effect<ReadonlyArray<Row>, StorageError> {
    return Effect.map(this.run(effort, [{ text, parameters }]), ([rows]) => rows ?? [])
  }

  /** Runs statements in one transaction, and answers the rows of each. */
  run(
    effort: Effort,
    statements: ReadonlyArray<Statement>
  ): Effect.Effect<ReadonlyArray<ReadonlyArray<Row>>, StorageError> {
    return Effect.map(this.ask({ _tag: "Statements", statements, effort }), (reply) =>
      reply._tag === "Rows" ? reply.rows : []
    )
  }

  /** A step of removing what a tenant holds. */
  purge(tenant: string, withUsage: boolean): Effect.Effect<PurgedReply, StorageError> {
    return Effect.flatMap(this.ask({ _tag: "Purge", tenant, withUsage }), (reply) =>
      reply._tag === "Purged" ? Effect.succeed(reply) : Effect.dieMessage("a purge was answered with rows")
    )
  }

  private ask(request: Asked): Effect.Effect<RowsReply | PurgedReply, StorageError> {
    return Effect.async((resume) => {
      if (this.waiting.size >= waitingMax) return resume(tooMuch)
      const answer: Job["answer"] = (reply) =>
        resume(reply._tag === "StorageError" ? Effect.fail(reply) : Effect.succeed(reply))
      const job: Job = { request, answer }
      this.waiting.add(job)
      this.next()
      // Once it is under way it happens, whoever waits for it.
      return Effect.sync(() => this.waiting.delete(job))
    })
  }

  private next(): void {
    if (this.isUnderWay) return
    const [job] = this.waiting
    if (job === undefined) return
    this.waiting.delete(job)
    this.isUnderWay = true
    this.thread.request(job.request, (reply) => {
      this.isUnderWay = false
      if (reply._tag !== "Failed") job.answer(reply)
      else {
        const { isFull, reason } = reply
        job.answer(new StorageError({ reason, cause: undefined, ...(isFull ? { isFull } : {}) }))
        if (isLost(reply)) this.onLost({ ...reply, isLost: true })
      }
      this.next()
    })
  }
}

const tooMuch = Effect.fail(
  new StorageError({ reason: "too many users and tenants are being changed at a time", cause: undefined })
)
