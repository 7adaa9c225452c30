/**
 * The control socket: HTTP with JSON over a Unix socket that only its owner may open. Who can open it may do
 * everything that its routes do: the file's mode is the authentication.
 *
 * A socket that a dead broker has left is replaced; one that somebody listens on, and a file that is no
 * socket, are left alone.
 */

import { lstatSync, rmSync } from "node:fs"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import type * as Scope from "effect/Scope"
import { loggable } from "../telemetry/redaction.ts"
import { type AdministrationError, type AdministrationErrorCode, refused } from "./AdministrationError.ts"
import { type ControlRoute, LineStream, routeOf } from "./ControlRoute.ts"

/** The socket cannot be opened. Told to whoever starts the broker. */
export class ControlUnavailable extends Data.TaggedError("ControlUnavailable")<{
  readonly path: string
  readonly reason: string
}> {
  override get message(): string {
    return `control socket ${this.path}: ${this.reason}`
  }
}

/** Of a request's body. Settings are small. */
const BODY_BYTES_MAX = 1024 * 1024
/** What fits into a socket's address on every system that we know of, with the zero behind it. */
const PATH_BYTES_MAX = 103

const statuses: Readonly<Record<AdministrationErrorCode, number>> = {
  "not-found": 404,
  exists: 409,
  invalid: 400,
  configured: 409,
  unavailable: 503
}

/** Serves the routes at a path until the scope closes. */
export const serveControl = (
  path: string,
  routes: ReadonlyArray<ControlRoute>
): Effect.Effect<void, ControlUnavailable, Scope.Scope> =>
  Effect.gen(function* () {
    yield* makeRoom(path)
    const run = yield* FiberSet.makeRuntimePromise<never, unknown>()
    yield* Effect.acquireRelease(
      Effect.try({
        try: () =>
          ownersOnly(() =>
            Bun.serve({
              unix: path,
              maxRequestBodySize: BODY_BYTES_MAX,
              ...patient,
              fetch: (request) => run(answer(request, routes, run)),
              error: () => failure(refused("unavailable", "the broker could not answer"))
            })
          ),
        catch: (cause) => new ControlUnavailable({ path, reason: reasonOf(cause) })
      }),
      (server) =>
        Effect.zipRight(
          Effect.promise(() => server.stop(true)),
          Effect.sync(() => rmSync(path, { force: true }))
        )
    )
  })

/**
 * A deletion may take its time, and a client that is followed may be quiet for hours. (Bun's types know this
 * option for ports only; sockets obey it as well, while `server.timeout` has no effect on a streamed answer.
 * Bun 1.4.5, 2026-11)
 */
const patient: object = { idleTimeout: 0 }

/** The file is made with that mode: to change it afterwards would leave it open for a moment. */
const ownersOnly = <A>(make: () => A): A => {
  const before = process.umask(0o177)
  try {
    return make()
  } finally {
    process.umask(before)
  }
}

const makeRoom = (path: string): Effect.Effect<void, ControlUnavailable> =>
  Effect.gen(function* () {
    if (Buffer.byteLength(path) > PATH_BYTES_MAX) {
      const reason = `the path of a socket has at most ${PATH_BYTES_MAX} bytes`
      return yield* new ControlUnavailable({ path, reason })
    }
    const found = yield* Effect.try({
      try: () => lstatSync(path, { throwIfNoEntry: false }),
      catch: (cause) => new ControlUnavailable({ path, reason: reasonOf(cause) })
    })
    if (found === undefined) return
    if (!found.isSocket()) {
      return yield* new ControlUnavailable({ path, reason: "there is something else of that name" })
    }
    if (yield* isListening(path)) {
      return yield* new ControlUnavailable({ path, reason: "another broker listens there" })
    }
    yield* Effect.try({
      try: () => rmSync(path, { force: true }),
      catch: (cause) => new ControlUnavailable({ path, reason: reasonOf(cause) })
    })
  })

const isListening = (path: string): Effect.Effect<boolean> =>
  Effect.promise(async () => {
    try {
      const socket = await Bun.connect({ unix: path, socket: { data: () => {} } })
      socket.terminate()
      return true
    } catch {
      return false
    }
  })

const reasonOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))

type Run = <A>(effect: Effect.Effect<A>) => Promise<A>

const answer = (request: Request, routes: ReadonlyArray<ControlRoute>, run: Run): Effect.Effect<Response> => {
  const { pathname, searchParams } = new URL(request.url)
  const found = routeOf(routes, request.method, pathname)
  if (found === undefined) return Effect.succeed(failure(refused("not-found", "there is no such resource")))
  const { params, route } = found
  return bodyOf(request).pipe(
    Effect.flatMap((body) => Effect.suspend(() => route.handle({ params, query: searchParams, body }))),
    Effect.match({ onFailure: failure, onSuccess: (value) => responseOf(value, run) }),
    Effect.catchAllCause((cause) =>
      Effect.as(
        Effect.logError(`${request.method} ${pathname} failed`, loggable(cause)),
        failure(refused("unavailable", "the broker failed to do that"))
      )
    )
  )
}

const responseOf = (value: unknown, run: Run): Response =>
  value instanceof LineStream
    ? new Response(bodyOfLines(value, run), { headers: { "content-type": "application/x-ndjson" } })
    : Response.json(value ?? {})

/** Nothing is taken before the socket has taken what came before. */
const bodyOfLines = ({ close, next }: LineStream, run: Run): ReadableStream<Uint8Array> => {
  const encoder = new TextEncoder()
  let isCancelled = false
  return new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        const lines = await run(next)
        if (isCancelled) return
        if (lines.length === 0) controller.close()
        else controller.enqueue(encoder.encode(`${lines.join("\n")}\n`))
      },
      cancel: () => {
        isCancelled = true
        close()
      }
    },
    { highWaterMark: 0 }
  )
}

const bodyOf = (request: Request): Effect.Effect<unknown, AdministrationError> =>
  Effect.tryPromise({
    try: async () => {
      const text = await request.text()
      return text === "" ? undefined : JSON.parse(text)
    },
    catch: () => refused("invalid", "the body is not JSON")
  })

const failure = ({ code, message, problems }: AdministrationError): Response =>
  Response.json({ error: { code, message, problems } }, { status: statuses[code] })
