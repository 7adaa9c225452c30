/**
 * Your own storage: a journal that appends its records to a file, a line each, and is read back at the next
 * start. Acknowledgements wait until the lines are written, so what a client was promised is there after a
 * crash of the process. (For a power cut it would have to call fsync, and for a long life it would have to be
 * compacted.)
 */

import { mkdtempSync, rmSync } from "node:fs"
import { appendFile, readFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { deserialize, serialize } from "node:v8"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { connect, connectAsync } from "mqtt"
import { Authenticator } from "../src/auth/Authenticator.ts"
import { Authorizer } from "../src/auth/Authorizer.ts"
import { Broker } from "../src/Broker.ts"
import { EventSink } from "../src/events/EventSink.ts"
import type { DurableRecord, StoredMessage } from "../src/storage/DurableRecord.ts"
import { DurableState } from "../src/storage/DurableState.ts"
import { Journal } from "../src/storage/Journal.ts"
import { RetainedStore } from "../src/storage/RetainedStore.ts"
import { SessionStore } from "../src/storage/SessionStore.ts"
import { StorageError } from "../src/storage/StorageError.ts"
import { ClientBalancer } from "../src/tenant/ClientBalancer.ts"
import { TenantDirectory } from "../src/tenant/TenantDirectory.ts"
import { tcpListener } from "../src/transport/Tcp.ts"
import { Transports } from "../src/transport/Transport.ts"

/**
 * A record as a line of text. Of a message it takes what a store keeps: the router's publications hold more.
 */
const encode = (record: DurableRecord): string =>
  serialize("message" in record ? { ...record, message: plain(record.message) } : record).toString("base64")

const plain = ({
  expiresAtMs,
  forwardedProperties,
  payload,
  qos,
  retain,
  topic
}: StoredMessage): StoredMessage => ({
  topic: { name: topic.name, bytes: topic.bytes },
  payload,
  forwardedProperties,
  qos,
  retain,
  expiresAtMs
})

const decode = (line: string): DurableRecord => deserialize(Buffer.from(line, "base64"))

/** A journal and the stores over one file. */
const layerFile = (path: string) =>
  Layer.unwrapScoped(
    Effect.gen(function* () {
      const text = yield* Effect.promise(() => readFile(path, "utf8").catch(() => ""))
      const state = new DurableState()
      for (const line of text.split("\n")) {
        if (line !== "") state.apply(decode(line))
      }
      // Batches are written one after another; each is committed when its lines are in the file.
      let writing: Promise<void> = Promise.resolve()
      yield* Effect.addFinalizer(() => Effect.promise(() => writing))
      const append: Journal["Type"]["append"] = (records, committed) => {
        const lines = records.map((record) => `${encode(record)}\n`).join("")
        writing = writing
          .then(() => appendFile(path, lines))
          .then(
            () => committed(undefined),
            (cause) => committed(new StorageError({ reason: `cannot write ${path}`, cause }))
          )
      }
      return Layer.mergeAll(
        Layer.succeed(Journal, { append }),
        Layer.succeed(SessionStore, { sessions: Stream.fromIterable(state.sessions()) }),
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
