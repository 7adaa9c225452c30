/**
 * Administration on its way to the thread of the database: one request at a time, so that a batch of the
 * journal waits for a single short one at most, however much of it there is. What is only read goes together,
 * because each turn may have to wait for a commit. Bounded.
 */

import * as Effect from "effect/Effect"
import { StorageError } from "../StorageError.ts"
import type { Row } from "./Database.ts"
import type { Effort, FailureReply, PurgedReply, RowsReply, Statement } from "./requests.ts"
import { isLost, type LostReply, type SqliteThread } from "./SqliteThread.ts"

const waitingMax = 10_000
/** Statements that are read together: a batch of the journal may have to wait for them. */
const readMax = 16

interface AskedStatements {
  readonly _tag: "Statements"
  readonly statements: ReadonlyArray<Statement>
  readonly effort: Effort
}

type Asked =
  | AskedStatements
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
    const jobs = this.take()
    const [first] = jobs
    if (first === undefined) return
    this.isUnderWay = true
    const request = jobs.length === 1 ? first.request : together(jobs)
    this.thread.request(request, (reply) => {
      this.isUnderWay = false
      if (reply._tag === "Failed") this.failed(jobs, reply)
      else answerAll(jobs, reply)
      this.next()
    })
  }

  /** What goes next: one that writes, or as much as is read until the next that writes. */
  private take(): ReadonlyArray<Job> {
    const jobs: Array<Job> = []
    let statements = 0
    for (const job of this.waiting) {
      const isRead = statementsOf(job).length > 0
      statements += statementsOf(job).length
      if (jobs.length > 0 && (!isRead || statements > readMax)) break
      jobs.push(job)
      this.waiting.delete(job)
      if (!isRead) break
    }
    return jobs
  }

  private failed(jobs: ReadonlyArray<Job>, reply: FailureReply | LostReply): void {
    const { isFull, reason } = reply
    const error = new StorageError({ reason, cause: undefined, ...(isFull ? { isFull } : {}) })
    for (const job of jobs) job.answer(error)
    if (isLost(reply)) this.onLost({ ...reply, isLost: true })
  }
}

/** Those of a job that only reads. */
const statementsOf = ({ request }: Job): ReadonlyArray<Statement> =>
  request._tag === "Statements" && request.effort === "read" ? request.statements : []

const together = (jobs: ReadonlyArray<Job>): AskedStatements => ({
  _tag: "Statements",
  statements: jobs.flatMap(statementsOf),
  effort: "read"
})

const answerAll = (jobs: ReadonlyArray<Job>, reply: RowsReply | PurgedReply): void => {
  let at = 0
  for (const job of jobs) {
    if (reply._tag === "Purged" || jobs.length === 1) job.answer(reply)
    else {
      const until = at + statementsOf(job).length
      job.answer({ _tag: "Rows", rows: reply.rows.slice(at, until) })
      at = until
    }
  }
}

const tooMuch = Effect.fail(
  new StorageError({ reason: "too many users and tenants are being changed at a time", cause: undefined })
)
