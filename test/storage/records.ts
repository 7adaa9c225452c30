/** Arbitrary records, of few sessions and positions, so that they meet. */

import * as FastCheck from "effect/FastCheck"
import type { Qos, Will } from "../../src/protocol/Packet.ts"
import {
  type DurableRecord,
  type EnqueueRecord,
  Recorded,
  type StoredMessage
} from "../../src/storage/DurableRecord.ts"

const text = FastCheck.oneof(
  FastCheck.constantFrom("", "a", "a/b", "ä€😀", "x".repeat(63), "y".repeat(64), "z".repeat(300)),
  FastCheck.fullUnicodeString({ maxLength: 12 })
)
/** [MQTT-4.7.3-1] */
const topicFilter = FastCheck.oneof(
  { weight: 3, arbitrary: FastCheck.constantFrom("f", "g/#") },
  { weight: 1, arbitrary: text.filter((filter) => filter !== "") }
)
const bytes = FastCheck.oneof(
  FastCheck.uint8Array({ maxLength: 8 }),
  FastCheck.constantFrom(0, 32, 33, 127, 128, 5000).map((length) => new Uint8Array(length).fill(7))
)
const qos = FastCheck.constantFrom<Qos>(0, 1, 2)
const instant = FastCheck.constantFrom(0, 1, 1_700_000_000_123, Number.MAX_SAFE_INTEGER)
const seconds = FastCheck.constantFrom(0, 1, 4_294_967_295)

/** Whole, with the topic's bytes as its name spells them. */
export const storedMessage: FastCheck.Arbitrary<StoredMessage> = FastCheck.record({
  topic: FastCheck.oneof(FastCheck.constantFrom("a", "b", "c/d"), text),
  payload: bytes,
  forwardedProperties: FastCheck.oneof(FastCheck.constant(new Uint8Array(0)), bytes),
  qos,
  retain: FastCheck.boolean(),
  expiresAtMs: instant,
  publisherId: text,
  traceContext: FastCheck.option(text, { nil: undefined })
}).map(({ topic, ...rest }) => ({ ...rest, topic: { name: topic, bytes: utf8(topic) } }))

const utf8 = (value: string): Uint8Array => new TextEncoder().encode(value)

const will: FastCheck.Arbitrary<Will> = FastCheck.record({
  topic: text,
  payload: bytes,
  qos,
  retain: FastCheck.boolean(),
  delayInterval: seconds,
  messageExpiryInterval: FastCheck.constantFrom(-1, 0, 1, 4_294_967_295),
  forwardedProperties: bytes
})

const position = FastCheck.oneof(
  { weight: 8, arbitrary: FastCheck.nat(12) },
  { weight: 1, arbitrary: FastCheck.constantFrom(127, 128, 65_535, 2 ** 31, 2 ** 40) }
)

/** Positions that leave most of a queue. */
const passed = FastCheck.oneof(
  { weight: 10, arbitrary: FastCheck.nat(4) },
  { weight: 1, arbitrary: position }
)

/** Sessions should live long enough for something to happen to them. */
const rarely = FastCheck.nat(5).map((value) => value === 0)

const session = {
  tenant: FastCheck.constantFrom("t", "u"),
  clientId: FastCheck.oneof(
    { weight: 12, arbitrary: FastCheck.constantFrom("c", "c", "d") },
    { weight: 1, arbitrary: text }
  ),
  epoch: FastCheck.oneof(
    { weight: 12, arbitrary: FastCheck.constantFrom(1, 2, 2, 3, 3, 3) },
    { weight: 1, arbitrary: FastCheck.constantFrom(0, 200, 2 ** 33) }
  )
}

const kind = <T extends DurableRecord["_tag"], F extends object>(
  _tag: T,
  fields: { readonly [K in keyof F]: FastCheck.Arbitrary<F[K]> }
) => FastCheck.record({ _tag: FastCheck.constant(_tag), ...session, ...fields })

const enqueueOf = (message: FastCheck.Arbitrary<StoredMessage>) =>
  kind("Enqueue", {
    position,
    message,
    qos: FastCheck.constantFrom<1 | 2>(1, 2),
    retain: FastCheck.boolean(),
    subscriptionIdentifiers: FastCheck.oneof(
      FastCheck.constant([]),
      FastCheck.array(FastCheck.constantFrom(1, 128, 268_435_455), { maxLength: 3 })
    ),
    group: FastCheck.option(text, { nil: undefined }),
    isReleased: FastCheck.boolean(),
    recorded: FastCheck.constant<Recorded>(Recorded.Written)
  }) as FastCheck.Arbitrary<EnqueueRecord>

const connect = kind("Connect", {
  principal: text,
  isCleanStart: rarely,
  expiryInterval: seconds,
  will: FastCheck.option(will, { nil: undefined })
})

const rare = [
  kind("Detach", {
    expiryInterval: seconds,
    endsAtMs: instant,
    hasWill: FastCheck.boolean(),
    willDueMs: instant,
    sentBefore: FastCheck.oneof(position, FastCheck.constant(Number.POSITIVE_INFINITY))
  }),
  kind("WillDone", {}),
  kind("End", {}),
  kind("Subscribe", {
    request: FastCheck.record({
      topicFilter,
      qos,
      noLocal: FastCheck.boolean(),
      retainAsPublished: FastCheck.boolean(),
      retainHandling: FastCheck.constantFrom<0 | 1 | 2>(0, 1, 2)
    }),
    subscriptionIdentifier: FastCheck.constantFrom(0, 1, 268_435_455)
  }),
  kind("Unsubscribe", { topicFilter }),
  kind("Inbound", { packetId: FastCheck.constantFrom(1, 2, 65_535), isReleased: FastCheck.boolean() })
]

const recordOf = (message: FastCheck.Arbitrary<StoredMessage>): FastCheck.Arbitrary<DurableRecord> =>
  FastCheck.oneof(
    { weight: 12, arbitrary: enqueueOf(message) },
    { weight: 4, arbitrary: connect },
    { weight: 3, arbitrary: kind("Advance", { before: passed }) },
    { weight: 3, arbitrary: kind("Dequeue", { position }) },
    { weight: 3, arbitrary: kind("Release", { position }) },
    {
      weight: 4,
      arbitrary: FastCheck.record({
        _tag: FastCheck.constant("Retain" as const),
        tenant: session.tenant,
        message
      })
    },
    ...rare.map((arbitrary) => ({ weight: 1, arbitrary: arbitrary as FastCheck.Arbitrary<DurableRecord> }))
  )

/** Records some of which share a message, as those of a message with several targets do. */
export const durableRecords = (maxLength = 40): FastCheck.Arbitrary<ReadonlyArray<DurableRecord>> =>
  FastCheck.array(storedMessage, { minLength: 1, maxLength: 6 }).chain((messages) =>
    FastCheck.array(recordOf(FastCheck.constantFrom(...messages)), { maxLength, size: "max" })
  )
