/**
 * A mutation fuzzer for the decoder: streams of valid packets are bent, cut, joined and lied about, then
 * decoded.
 *
 *     bun test/fuzz/decoder.ts --seed 7 --rounds 1000000
 *
 * What must hold for any bytes: only `MalformedPacket` is thrown, and thrown again; the outcome does not
 * depend on how the bytes were cut into chunks; no more is buffered than the packet limit and the last chunk;
 * every call moves on; and what is read keeps the promises of `Packet.ts`. A round depends on the seed and
 * its number alone, so a failure is found again with `--seed S --from N --rounds 1`.
 */

import { type Decoder, makeDecoders } from "../../src/protocol/Decoder.ts"
import { MalformedPacket } from "../../src/protocol/MalformedPacket.ts"
import type { ClientPacket, Publish } from "../../src/protocol/Packet.ts"
import { chunked, hex, properties, raw, seeded, toHex, type Version } from "../support/raw.ts"

type Random = (below: number) => number

const packetBytesMax = 2048
/** Small, so that streams reach it. */
const userPropertiesMax = 20

const message = Buffer.concat([
  properties.payloadFormatIndicator(1),
  properties.messageExpiryInterval(60),
  properties.contentType("text/plain"),
  properties.responseTopic("re/ply"),
  properties.correlationData(hex("00ff")),
  properties.userProperty("naïve", "__proto__"),
  properties.userProperty("b", "")
])
const explanation = Buffer.concat([properties.reasonString("why"), properties.userProperty("n", "v")])

const connects = (version: Version): ReadonlyArray<Buffer> => [
  raw.connect({ version }),
  raw.connect({
    version,
    username: "user",
    password: "pass",
    will: { qos: 2, retain: true, properties: message }
  }),
  raw.connect({
    version,
    clean: false,
    properties: Buffer.concat([
      properties.sessionExpiryInterval(3600),
      properties.receiveMaximum(10),
      properties.maximumPacketSize(1000),
      properties.topicAliasMaximum(5),
      properties.requestResponseInformation(1),
      properties.requestProblemInformation(0),
      properties.authenticationMethod("SCRAM"),
      properties.authenticationData("data"),
      explanation.subarray(6)
    ])
  })
]

const packets = (version: Version): ReadonlyArray<Buffer> => {
  const only5 =
    version === 5
      ? [
          raw.publish({ version, topic: "", properties: properties.topicAlias(3) }),
          raw.publish({ version, qos: 1, properties: Buffer.concat([properties.topicAlias(3), message]) }),
          raw.puback({ reasonCode: 0x10, properties: explanation }),
          raw.pubrel({ reasonCode: 0x92 }),
          raw.disconnect({ reasonCode: 4, properties: explanation }),
          raw.auth({ reasonCode: 0x18, properties: properties.authenticationMethod("SCRAM") }),
          raw.subscribe({
            version,
            filters: [
              ["a/+", 0x2e],
              ["$share/g/#", 0x01]
            ],
            properties: properties.subscriptionIdentifier(268_435_455)
          })
        ]
      : []
  return [
    raw.publish({ version }),
    raw.publish({ version, topic: "ré/sumé", qos: 1, retain: true, payload: "x".repeat(200) }),
    raw.publish({ version, qos: 2, dup: true, packetId: 65535, payload: "" }),
    raw.puback(),
    raw.pubrec({ packetId: 2 }),
    raw.pubrel(),
    raw.pubcomp(),
    raw.subscribe({ version, filters: ["a/b", ["#", 2]] }),
    raw.unsubscribe({ version, filters: ["a/b", "c"] }),
    raw.pingreq(),
    raw.disconnect(),
    ...only5
  ]
}

const versions: ReadonlyArray<Version> = [3, 4, 5]
const corpus = versions.map((version) => ({ connects: connects(version), packets: packets(version) }))

const pick = <T>(random: Random, from: ReadonlyArray<T>): T => from[random(from.length)] as T

const validStream = (random: Random): Buffer => {
  const { connects, packets } = pick(random, corpus)
  return Buffer.concat([
    pick(random, connects),
    ...Array.from({ length: random(6) }, () => pick(random, packets))
  ])
}

const interesting = [0x00, 0x01, 0x02, 0x7f, 0x80, 0x81, 0xbf, 0xc0, 0xe0, 0xed, 0xf0, 0xf4, 0xff]

const mutations: ReadonlyArray<(bytes: Buffer, random: Random) => Buffer> = [
  // One bit.
  (bytes, random) => {
    const at = random(bytes.length)
    bytes[at] = bytes[at]! ^ (1 << random(8))
    return bytes
  },
  // One byte, often one at an edge of UTF-8 or of a length.
  (bytes, random) => {
    bytes[random(bytes.length)] = random(2) === 0 ? random(256) : pick(random, interesting)
    return bytes
  },
  // A length that is off by a little.
  (bytes, random) => {
    const at = random(bytes.length)
    bytes[at] = bytes[at]! + random(5) - 2
    return bytes
  },
  // Cut off.
  (bytes, random) => bytes.subarray(0, 1 + random(bytes.length)),
  // A range taken out.
  (bytes, random) => {
    const at = random(bytes.length)
    return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random(8))])
  },
  // A range twice.
  (bytes, random) => {
    const at = random(bytes.length)
    const end = Math.min(bytes.length, at + 1 + random(40))
    return Buffer.concat([bytes.subarray(0, end), bytes.subarray(at)])
  },
  // A range of another stream in the middle.
  (bytes, random) => {
    const other = validStream(random)
    const from = random(other.length)
    const at = random(bytes.length)
    return Buffer.concat([
      bytes.subarray(0, at),
      other.subarray(from, from + 1 + random(40)),
      bytes.subarray(at)
    ])
  },
  // Random bytes in the middle.
  (bytes, random) => {
    const at = random(bytes.length)
    const noise = Buffer.from(Array.from({ length: 1 + random(6) }, () => random(256)))
    return Buffer.concat([bytes.subarray(0, at), noise, bytes.subarray(at)])
  }
]

const mutate = (random: Random): Buffer => {
  let bytes: Buffer = validStream(random)
  const rounds = random(5)
  for (let round = 0; round < rounds && bytes.length > 0; round++) {
    bytes = Buffer.from(pick(random, mutations)(bytes, random))
  }
  return bytes
}

/** A promise that was broken, in words. */
class Broken extends Error {
  override readonly name = "Broken"
}

const demand = (holds: boolean, promise: string): void => {
  if (!holds) throw new Broken(promise)
}

const demandSoundText = (value: unknown): void => {
  if (typeof value === "string") {
    demand(value.isWellFormed() && !value.includes("\0"), "strings are well-formed and without U+0000")
  } else if (Array.isArray(value)) value.forEach(demandSoundText)
  else if (typeof value === "object" && value !== null && !ArrayBuffer.isView(value)) {
    Object.values(value).forEach(demandSoundText)
  }
}

const demandSoundPublish = (packet: Publish): void => {
  const { packetId, payloadEnd, payloadStart, qos, source, topic, topicAlias } = packet
  demand(0 < payloadStart && payloadStart <= payloadEnd, "a payload is a range")
  demand(payloadEnd <= source.length, "a payload lies in its source")
  demand(qos <= 2 && qos > 0 === packetId > 0, "a packet identifier goes with QoS 1 and 2")
  demand(!packet.dup || qos > 0, "DUP goes with QoS 1 and 2")
  demand(topic.name !== "" || topicAlias > 0, "a topic or an alias")
  demand(!/[#+]/.test(topic.name), "no wildcard in a topic")
  demand(toHex(Buffer.from(topic.name)) === toHex(topic.bytes), "topic bytes spell the topic")
}

/** A packet in a form that can be compared, after it has been checked. */
const render = (packet: ClientPacket): string => {
  demandSoundText(packet)
  if ("packetId" in packet && packet._tag !== "Publish")
    demand(packet.packetId > 0, "packet identifiers are not 0")
  if (packet._tag !== "Publish") return JSON.stringify(packet)
  demandSoundPublish(packet)
  const { payloadEnd, payloadStart, source, ...rest } = packet
  return JSON.stringify({ ...rest, payload: toHex(source.subarray(payloadStart, payloadEnd)) })
}

const failureOf = (decoder: Decoder): string => {
  try {
    decoder.next()
  } catch (error) {
    if (error instanceof MalformedPacket) return error.message
    throw error
  }
  throw new Broken("a failure stays")
}

/** What comes out of these chunks: packets and, at the end, the failure. */
const outcome = (chunks: ReadonlyArray<Uint8Array>, make: () => Decoder): ReadonlyArray<string> => {
  const decoder = make()
  const results: Array<string> = []
  let received = 0
  for (const chunk of chunks) {
    decoder.push(chunk)
    received += chunk.length
    try {
      for (let packet = decoder.next(); packet !== undefined; packet = decoder.next()) {
        results.push(render(packet))
        demand(results.length * 2 <= received, "every packet uses up bytes")
      }
    } catch (error) {
      if (!(error instanceof MalformedPacket)) throw error
      demand(failureOf(decoder) === error.message, "the failure stays the same")
      demand(decoder.bufferedBytes === 0, "nothing is kept after a failure")
      results.push(error.message)
      return results
    }
    demand(decoder.bufferedBytes <= packetBytesMax + chunk.length, "buffered bytes are bounded")
    demand(decoder.remainder().length === decoder.bufferedBytes, "the remainder is what is buffered")
  }
  return results
}

export interface FuzzFailure {
  readonly round: number
  readonly hex: string
  readonly error: unknown
}

export interface FuzzReport {
  /** Streams that were read to their end, and those refused. Both must be many for a run to mean anything. */
  readonly accepted: number
  readonly refused: number
  readonly failure: FuzzFailure | undefined
}

export interface FuzzOptions {
  readonly seed: number
  readonly rounds: number
  /** First round; default 0. */
  readonly from?: number
  /** Called every 50,000 rounds with the next round's number. */
  readonly onProgress?: (round: number) => void
}

/** Runs until a promise is broken or the rounds are over. */
export const fuzz = (options: FuzzOptions): FuzzReport => {
  const makeDecoder = makeDecoders({ userPropertiesMax })
  const make = (): Decoder => makeDecoder({ packetBytesMax })
  const from = options.from ?? 0
  let accepted = 0
  let refused = 0
  for (let round = from; round < from + options.rounds; round++) {
    if (round % 50_000 === 0) options.onProgress?.(round)
    const random = seeded(Math.imul(options.seed, 0x9e3779b1) ^ round)
    const bytes = mutate(random)
    try {
      const whole = outcome([bytes], make)
      const cut = outcome(chunked(bytes, random, 1 + random(40)), make)
      demand(JSON.stringify(whole) === JSON.stringify(cut), "the outcome does not depend on the chunks")
      if (whole.at(-1)?.startsWith("{") === false) refused++
      else accepted++
    } catch (error) {
      return { accepted, refused, failure: { round, hex: toHex(bytes), error } }
    }
  }
  return { accepted, refused, failure: undefined }
}

const argument = (name: string, otherwise: number): number => {
  const index = process.argv.indexOf(`--${name}`)
  const value = index < 0 ? otherwise : Number(process.argv[index + 1])
  if (!Number.isSafeInteger(value)) throw new RangeError(`--${name} wants a whole number`)
  return value
}

if (import.meta.main) {
  const seed = argument("seed", 1)
  const rounds = argument("rounds", 200_000)
  const from = argument("from", 0)
  const onProgress = (round: number): void => console.log(`seed ${seed}, round ${round}`)
  const { accepted, failure, refused } = fuzz({ seed, rounds, from, onProgress })
  console.log(`seed ${seed}: ${accepted} streams read, ${refused} refused`)
  if (failure !== undefined) {
    console.error(`seed ${seed}, round ${failure.round}: ${failure.hex}`)
    console.error(failure.error)
    process.exitCode = 1
  }
}
