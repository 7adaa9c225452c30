/**
 * Your own storage: a journal that appends its units to a file, a line each, and is read back at the next
 * start. Acknowledgements wait until the lines are written, so what a client was promised is there after a
 * crash of the process. (For a power cut it would have to call fsync, and for a long life it would have to be
 * compacted.)
 */

import { mkdtempSync, rmSync } from "node:fs"
import { appendFile, readFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { connect, connectAsync } from "mqtt"
import { Authenticator } from "../src/auth/Authenticator.ts"
import { Authorizer } from "../src/auth/Authorizer.ts"
import { Broker } from "../src/Broker.ts"
import { EventSink } from "../src/events/EventSink.ts"
import type { DurableRecord } from "../src/storage/DurableRecord.ts"
import { DurableState } from "../src/storage/DurableState.ts"
import { decodeFrame } from "../src/storage/frame/FrameReader.ts"
import { encodeFrame } from "../src/storage/frame/FrameWriter.ts"
import { Journal } from "../src/storage/Journal.ts"
import { applyUnit, queuePage } from "../src/storage/memory.ts"
import { RetainedStore } from "../src/storage/RetainedStore.ts"
import { SessionStore } from "../src/storage/SessionStore.ts"
import { StorageError } from "../src/storage/StorageError.ts"
import { ClientBalancer } from "../src/tenant/ClientBalancer.ts"
import { TenantDirectory } from "../src/tenant/TenantDirectory.ts"
import { tcpListener } from "../src/transport/Tcp.ts"
import { Transports } from "../src/transport/Transport.ts"

/** A unit as a line of text: its records in a frame. */
const encode = (records: ReadonlyArray<DurableRecord>): string =>
  `${Buffer.from(encodeFrame(0, records)).toString("base64")}\n`

const decode = (line: string): ReadonlyArray<DurableRecord> =>
  decodeFrame(Buffer.from(line, "base64")).records

/** A journal and the stores over one file. */
const layerFile = (path: string) =>
  Layer.unwrapScoped(
    Effect.gen(function* () {
      const text = yield* Effect.promise(() => readFile(path, "utf8").catch(() => ""))
      const state = new DurableState()
      for (const line of text.split("\n")) {
        if (line !== "") applyUnit(state, decode(line))
      }
      // Units are written one after another; each is committed when its line is in the file.
      let writing: Promise<void> = Promise.resolve()
      yield* Effect.addFinalizer(() => Effect.promise(() => writing))
      const append: Journal["Type"]["append"] = ({ committed, records }) => {
        // Without those whose message was acknowledged before we came to writing it.
        const line = encode(applyUnit(state, records))
        writing = writing
          .then(() => appendFile(path, line))
          .then(
            () => committed(undefined),
            (cause) => committed(new StorageError({ reason: `cannot write ${path}`, cause }))
          )
      }
      return Layer.mergeAll(
        Layer.succeed(Journal, { append, status: () => "ready", whenRelieved: (resume) => resume() }),
        Layer.succeed(SessionStore, {
          sessions: Stream.fromIterable(state.sessions()),
          queue: (request, answer) => answer(queuePage(state, request))
        }),
        Layer.succeed(RetainedStore, { messages: Stream.fromIterable(state.retained()) })
      )
    })
  )

const broker = (path: string) =>
  Broker.layer().pipe(
    Layer.provide([
      Authenticator.layerAnonymous("loopback"),
      Authorizer.layerAllowAll,
      TenantDirectory.layerSingle(),
      ClientBalancer.layerStay,
      EventSink.layerLog,
      layerFile(path),
      Layer.succeed(Transports, [tcpListener({ name: "tcp", hostname: "127.0.0.1", port: 0 })])
    ])
  )

/** Runs something against a broker over the file, from its start to its end. */
const withBroker = (path: string, use: (url: string) => Promise<void>): Promise<void> =>
  Effect.gen(function* () {
    const { listening } = yield* Broker
    yield* Effect.promise(() => use(`mqtt://127.0.0.1:${listening[0]?.port}`))
  }).pipe(Effect.provide(broker(path)), Effect.runPromise)

const directory = mkdtempSync(join(tmpdir(), "heddle-"))
const path = join(directory, "journal")

await withBroker(path, async (url) => {
  const sleeper = await connectAsync(url, { clientId: "sleeper", clean: false })
  await sleeper.subscribeAsync("night/#", { qos: 1 })
  await sleeper.endAsync()
  const publisher = await connectAsync(url)
  await publisher.publishAsync("night/1", "the owl hoots", { qos: 1 })
  await publisher.publishAsync("moon", "full", { qos: 1, retain: true })
  await publisher.endAsync()
})
console.log("the first broker has ended")

await withBroker(path, async (url) => {
  const sleeper = connect(url, { clientId: "sleeper", clean: false })
  const heard = new Promise<void>((resolve) => {
    sleeper.on("message", (topic, payload) => {
      console.log(`${topic}: ${payload}`)
      if (topic === "moon") resolve()
    })
  })
  await sleeper.subscribeAsync("moon")
  await heard
  await sleeper.endAsync()
})
rmSync(directory, { recursive: true })
