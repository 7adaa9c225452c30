/** Answers of a broker that go on: line by line, until it ends them or nobody reads them any more. */

import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { AdministrationError } from "../control/AdministrationError.ts"
import { BrokerUnreachable, type ControlCall, refusalIn, unreachable, urlOf } from "./control.ts"

/** The lines of an answer, each a JSON text. The connection is closed with the stream. */
export const streamControl = (
  path: string,
  call: ControlCall
): Stream.Stream<string, BrokerUnreachable | AdministrationError> =>
  Stream.unwrapScoped(
    Effect.gen(function* () {
      const response = yield* respond(path, call)
      if (!response.ok) yield* Effect.flatMap(jsonOf(response), refusalIn)
      const { body } = response
      if (!response.ok || body === null) return yield* stranger(path)
      return Stream.fromReadableStream({ evaluate: () => body, onError: () => ended }).pipe(
        Stream.decodeText(),
        Stream.splitLines
      )
    })
  )

const respond = (path: string, call: ControlCall) =>
  Effect.gen(function* () {
    const ending = yield* Effect.acquireRelease(
      Effect.sync(() => new AbortController()),
      (controller) => Effect.sync(() => controller.abort())
    )
    return yield* Effect.tryPromise({
      // A client that is followed may be quiet for hours.
      try: () => fetch(urlOf(call), { ...patient, unix: path, method: call.method, signal: ending.signal }),
      catch: (cause) => unreachable(path, cause)
    })
  })

/** (Bun's types do not know the option; Bun 1.4.5, 2026-11) */
const patient: object = { timeout: false }

const jsonOf = (response: Response): Effect.Effect<unknown, BrokerUnreachable> =>
  Effect.tryPromise({ try: async () => (await response.json()) as unknown, catch: () => ended })

const ended = new BrokerUnreachable({ reason: "the broker has ended the connection" })

const stranger = (path: string): BrokerUnreachable =>
  new BrokerUnreachable({ reason: `${path}: what answers there is no broker of this version` })
