/**
 * The thread that owns the database of a cell: takes requests in order and answers each. Between requests it
 * gives back the room of what is done with, a step at a time.
 *
 * The one effect of this thread is run here. Whatever goes wrong in a request is its reply; the thread ends
 * when it is told to close, or when its messages stop making sense.
 */

import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { StorageError } from "../StorageError.ts"
import { type Database, openDatabase } from "./Database.ts"
import { failureOf, storageErrorOf } from "./failure.ts"
import { Inbox } from "./Inbox.ts"
import { Purge } from "./purge.ts"
import { Reclaimer } from "./Reclaimer.ts"
import { readQueue, readRetainedPage, readSessions } from "./read.ts"
import type { Effort, FailureReply, Reply, Request, Statement } from "./requests.ts"
import { Writer } from "./Writer.ts"

declare const self: Worker

/** What is open. */
interface Cell {
  readonly database: Database
  readonly writer: Writer
  readonly reclaimer: Reclaimer
  readonly pageBytes: number
}

/** Pages that a probe writes and takes back. */
const probePages = 64

const openCell = (file: string, bytesMax: number): Effect.Effect<Cell, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const database = yield* openDatabase(file)
    const writer = new Writer(database)
    yield* writer.resume
    const pageBytes = yield* database.number("PRAGMA page_size")
    const cell = { database, writer, reclaimer: new Reclaimer(database), pageBytes }
    yield* limit(cell, bytesMax)
    return cell
  })

/** Infinity takes the limit away. */
const limit = ({ database, pageBytes }: Cell, bytesMax: number) => {
  const pages = Math.min(Math.floor(bytesMax / pageBytes), 0xfffffffe)
  return database.run(`PRAGMA max_page_count = ${pages}`)
}

const done = ({ database, pageBytes, writer }: Cell): Effect.Effect<Reply, unknown> =>
  Effect.map(database.number("PRAGMA page_count"), (pages) => ({
    _tag: "Done",
    applied: writer.applied,
    databaseBytes: pages * pageBytes
  }))

const apply = (cell: Cell, frame: Uint8Array, isSynced: boolean): Effect.Effect<Reply, unknown> =>
  Effect.flatMap(cell.writer.apply(frame, isSynced), (passed) => {
    cell.reclaimer.note(passed)
    return done(cell)
  })

const probe = ({ database, pageBytes }: Cell) =>
  database.transaction(
    Effect.gen(function* () {
      yield* database.run("INSERT INTO message VALUES (0, 0, zeroblob(?))", [probePages * pageBytes])
      yield* database.run("DELETE FROM message WHERE id = 0")
      yield* database.run("UPDATE meta SET applied = applied")
    })
  )

const page = (effect: ReturnType<typeof readSessions>): Effect.Effect<Reply, unknown> =>
  Effect.map(effect, ({ bytes, next }) => ({ _tag: "Page", bytes, next }))

const runStatements = (
  { database }: Cell,
  statements: ReadonlyArray<Statement>,
  effort: Effort
): Effect.Effect<Reply, unknown> =>
  Effect.gen(function* () {
    const answers = Effect.forEach(statements, ({ parameters, text }) => database.rows(text, parameters))
    if (effort !== "read") yield* database.setSynced(effort === "synced")
    return { _tag: "Rows", rows: yield* effort === "read" ? answers : database.transaction(answers) }
  })

/**
 * A step of removing a tenant: what it holds, then what sessions left that ended before; the last makes all
 * of them survive a power cut.
 */
const purgeStep = (cell: Cell, tenant: string, withUsage: boolean): Effect.Effect<Reply, unknown> =>
  Effect.gen(function* () {
    const { database, reclaimer, writer } = cell
    const purge = new Purge(database, tenant, withUsage)
    yield* database.setSynced(false)
    yield* Effect.tapErrorCause(database.transaction(purge.step), () => Effect.sync(() => writer.forget()))
    writer.forgetSessions(purge.ended.map((clientId) => ({ tenant, clientId })))
    const { hasRemoved, removed } = purge
    const isDone = !hasRemoved && !reclaimer.hasEndedSessions
    if (isDone) {
      yield* database.setSynced(true)
      yield* database.run("UPDATE meta SET applied = applied")
    } else if (!hasRemoved) yield* reclaimer.stepEnded
    return { _tag: "Purged", removed, isDone }
  })

/** Lets the reclaimer know whether there was room for what was written. */
const watchRoom = <A>(cell: Cell, write: Effect.Effect<A, unknown>): Effect.Effect<A, unknown> =>
  Effect.tapBoth(write, {
    onSuccess: () => Effect.sync(() => cell.reclaimer.noteRoom(false)),
    onFailure: (error) => Effect.sync(() => cell.reclaimer.noteRoom(failureOf(error).isFull))
  })

const serve = (cell: Cell, request: Exclude<Request, { _tag: "Open" }>): Effect.Effect<Reply, unknown> => {
  switch (request._tag) {
    case "Apply":
      return watchRoom(cell, apply(cell, request.frame, request.isSynced))
    case "Probe":
      return Effect.zipRight(watchRoom(cell, probe(cell)), done(cell))
    case "Queues":
      return Effect.map(
        Effect.forEach(request.requests, (one) => readQueue(cell.database, one)),
        (parts) => ({ _tag: "Queues", parts })
      )
    case "Sessions":
      return page(readSessions(cell.database, request.after, request.max))
    case "Retained":
      return page(readRetainedPage(cell.database, request.after, request.max))
    case "Statements": {
      const { effort, statements } = request
      const run = runStatements(cell, statements, effort)
      return effort === "read" ? run : watchRoom(cell, run)
    }
    case "Purge":
      return watchRoom(cell, purgeStep(cell, request.tenant, request.withUsage))
    case "Expire":
      cell.reclaimer.expire(request.nowMs)
      return done(cell)
    case "Limit":
      return Effect.zipRight(limit(cell, request.bytesMax), done(cell))
    case "Close":
      return Effect.zipRight(cell.database.run("PRAGMA wal_checkpoint(TRUNCATE)"), done(cell))
  }
}

const doing = (request: Request): string => {
  switch (request._tag) {
    case "Apply":
    case "Probe":
    case "Purge":
      return "cannot write"
    case "Statements":
      return request.effort === "read" ? "cannot read" : "cannot write"
    default:
      return "cannot read"
  }
}

/** Lets the event loop see what has arrived. */
const breathe: Effect.Effect<void> = Effect.async<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})

const send = (reply: Reply): void => {
  if (reply._tag === "Page") self.postMessage(reply, [reply.bytes.buffer])
  else if (reply._tag === "Queues") {
    self.postMessage(
      reply,
      reply.parts.map(({ buffer }) => buffer)
    )
  } else self.postMessage(reply)
}

const failed = (thrown: unknown, what: string): FailureReply => {
  const error = thrown instanceof StorageError ? thrown : storageErrorOf(failureOf(thrown), what)
  return { _tag: "Failed", reason: error.reason, isFull: error.isFull === true }
}

/** Runs a request to its reply, whatever becomes of it. */
const replyTo = (effect: Effect.Effect<Reply, unknown>, what: string): Effect.Effect<void> =>
  effect.pipe(
    Effect.catchAllDefect(Effect.fail),
    Effect.match({ onSuccess: send, onFailure: (error) => send(failed(error, what)) })
  )

/** Serves requests until the last. */
const run = (inbox: Inbox, scope: Scope.CloseableScope): Effect.Effect<void> =>
  Effect.gen(function* () {
    let cell: Cell | undefined
    for (;;) {
      const request = inbox.take()
      if (request === undefined) {
        yield* rest(cell, inbox)
        continue
      }
      if (request._tag === "Open") {
        const { bytesMax, file } = request
        const open = Effect.flatMap(openCell(file, bytesMax), (opened) => {
          cell = opened
          return done(opened)
        })
        yield* replyTo(Scope.extend(open, scope), `cannot open ${file}`)
      } else if (cell === undefined) {
        send(failed("the database is not open", doing(request)))
      } else if (request._tag === "Close") {
        return yield* replyTo(
          Effect.zipLeft(serve(cell, request), Scope.close(scope, Exit.void)),
          "cannot close"
        )
      } else yield* replyTo(serve(cell, request), doing(request))
    }
  })

/**
 * Nobody wants anything just now: room is given back, a step at a time, when it presses or when nobody has
 * wanted anything for a while. A step that fails is tried again after the next request.
 */
const rest = (cell: Cell | undefined, inbox: Inbox): Effect.Effect<void> => {
  if (cell === undefined || cell.reclaimer.isIdle) return inbox.request
  if (!inbox.isQuiet && !cell.reclaimer.isPressing) return inbox.requestOrQuiet
  return Effect.matchEffect(cell.reclaimer.step, {
    onSuccess: () => breathe,
    onFailure: (error) => Effect.zipRight(Effect.logDebug("cannot reclaim", error), inbox.request)
  })
}

const main = Effect.gen(function* () {
  const inbox = yield* Inbox.make
  self.onmessage = (event: MessageEvent<Request>) => inbox.push(event.data)
  yield* run(inbox, yield* Scope.make())
})

Effect.runFork(Effect.scoped(main))
