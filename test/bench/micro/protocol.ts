/**
 * What the codec costs for each packet: `bun test/bench/micro/run.ts [--quick] protocol`. `mqtt-packet`
 * stands beside it as the yardstick: the same bytes, the same packets.
 *
 * Times are for each of a chunk of 256 packets, the median of many rounds. A PUBLISH has a topic of 24 bytes
 * and a payload of 64; one of version 5 also has a content type, a response topic and a user property to
 * forward.
 */

import { generate, type Packet as LibraryPacket, parser as makeParser } from "mqtt-packet"
import { writeAck } from "../../../src/protocol/AckWriter.ts"
import { ByteSink, PagePool } from "../../../src/protocol/ByteSink.ts"
import { type Decoder, makeDecoders } from "../../../src/protocol/Decoder.ts"
import type { Publish } from "../../../src/protocol/Packet.ts"
import {
  type PublishHeader,
  publishFrame,
  writeFrame,
  writePublish
} from "../../../src/protocol/PublishWriter.ts"
import { concat, properties, raw } from "../../support/raw.ts"
import type { Figure, RunOptions } from "./run.ts"
import { type Sample, sampled } from "./Sampling.ts"

const packetsInChunk = 256

type Version = 4 | 5

export const run = (options: RunOptions): ReadonlyArray<Figure> => {
  const measure: Measure = (work) => sampled(packetsInChunk, options.quick ? 2e7 : 4e8, work)
  return [...decoding(measure), ...connecting(measure), ...encoding(measure), ...acknowledging(measure)]
}

type Measure = (work: () => void) => Sample

const figure = (name: string, sample: Sample): Figure => ({ name, unit: "ns", ...sample })

const chunkOf = (packetOf: (index: number) => Uint8Array): Buffer =>
  concat(...Array.from({ length: packetsInChunk }, (_, index) => packetOf(index)))

const forwarded = concat(
  properties.contentType("application/json"),
  properties.responseTopic("replies/device-0042"),
  properties.userProperty("trace", "0af7651916cd43dd")
)

const topics = ["plant/line-7/device-0042", "plant/line-7/device-0043"]

const publishOf = (version: Version, qos: number, topic: string): Buffer =>
  raw.publish({
    version,
    qos,
    topic,
    packetId: 7,
    payload: Buffer.alloc(64, 0x2e),
    ...(version === 5 && { properties: forwarded })
  })

const connectOf = (version: Version): Buffer =>
  raw.connect({ version, clientId: "device-0042", username: "acme/device-0042", password: "correct horse" })

const decoders = makeDecoders()

/** A decoder that has read its CONNECT. */
const connected = (version: Version): Decoder => {
  const decoder = decoders({ packetBytesMax: 1024 * 1024 })
  decoder.push(connectOf(version))
  decoder.next()
  return decoder
}

/** Reads the chunk with ours and with the library; both must see every packet. */
const reading = (measure: Measure, name: string, version: Version, chunk: Buffer): ReadonlyArray<Figure> => {
  const decoder = connected(version)
  const ours = measure(() => {
    decoder.push(chunk)
    let packets = 0
    while (decoder.next() !== undefined) packets++
    if (packets !== packetsInChunk) throw new Error(`${packets} packets in place of ${packetsInChunk}`)
  })
  const parser = makeParser({ protocolVersion: version })
  let packets = 0
  parser.on("packet", () => {
    packets++
  })
  const theirs = measure(() => {
    packets = 0
    parser.parse(chunk)
    if (packets !== packetsInChunk) throw new Error(`${packets} packets in place of ${packetsInChunk}`)
  })
  return [figure(name, ours), figure(`${name}, mqtt-packet`, theirs)]
}

const decoding = (measure: Measure): ReadonlyArray<Figure> => {
  const [first = "", second = ""] = topics
  const same = (version: Version, qos: number) => chunkOf(() => publishOf(version, qos, first))
  const alternating = (version: Version) =>
    chunkOf((index) => publishOf(version, 0, index % 2 === 0 ? first : second))
  return [
    ...reading(measure, "decode PUBLISH, v4, QoS 0, one topic", 4, same(4, 0)),
    ...reading(measure, "decode PUBLISH, v4, QoS 1, one topic", 4, same(4, 1)),
    ...reading(measure, "decode PUBLISH, v4, two topics in turn", 4, alternating(4)),
    ...reading(measure, "decode PUBLISH, v5 with properties, one topic", 5, same(5, 0)),
    ...reading(measure, "decode PUBLISH, v5 with properties, two topics in turn", 5, alternating(5)),
    ...reading(
      measure,
      "decode PUBACK",
      4,
      chunkOf((index) => raw.puback({ packetId: index + 1 }))
    )
  ]
}

/**
 * A CONNECT is the first packet of a decoder, so each has its own; the library's parser is new each time as
 * well.
 */
const connecting = (measure: Measure): ReadonlyArray<Figure> =>
  ([4, 5] as const).flatMap((version) => {
    const bytes = connectOf(version)
    const ours = measure(() => {
      for (let index = 0; index < packetsInChunk; index++) {
        const decoder = decoders({ packetBytesMax: 1024 * 1024 })
        decoder.push(bytes)
        if (decoder.next() === undefined) throw new Error("CONNECT was not read")
      }
    })
    const theirs = measure(() => {
      for (let index = 0; index < packetsInChunk; index++) {
        const parser = makeParser()
        let packet: LibraryPacket | undefined
        parser.on("packet", (each) => {
          packet = each
        })
        parser.parse(bytes)
        if (packet === undefined) throw new Error("CONNECT was not read")
      }
    })
    const name = `decode CONNECT, v${version}, with the decoder`
    return [figure(name, ours), figure(`${name}, mqtt-packet`, theirs)]
  })

const header = (qos: 0 | 1): PublishHeader => ({
  qos,
  retain: false,
  dup: false,
  packetId: qos === 0 ? 0 : 7,
  topicAlias: 0,
  sendTopic: true,
  messageExpiryInterval: -1,
  subscriptionIdentifiers: []
})

/** The PUBLISH that is sent on: as the decoder gives it. */
const contentOf = (version: Version): Publish => {
  const decoder = connected(version)
  decoder.push(publishOf(version, 1, topics[0] ?? ""))
  const packet = decoder.next()
  if (packet?._tag !== "Publish") throw new Error("PUBLISH was not read")
  return packet
}

const encoding = (measure: Measure): ReadonlyArray<Figure> => {
  const sink = new ByteSink(new PagePool())
  const each = (write: () => void): Sample =>
    measure(() => {
      for (let index = 0; index < packetsInChunk; index++) write()
      sink.release()
    })
  return ([4, 5] as const).flatMap((version) => {
    const content = contentOf(version)
    const frame = publishFrame(version, content, true)
    const one = header(1)
    const library: LibraryPacket = {
      cmd: "publish",
      topic: topics[0] ?? "",
      payload: Buffer.alloc(64, 0x2e),
      qos: 1,
      dup: false,
      retain: false,
      messageId: 7,
      ...(version === 5 && { properties: libraryProperties })
    }
    const name = `encode PUBLISH, v${version}${version === 5 ? " with properties" : ""}, QoS 1`
    return [
      figure(
        `${name}, written from its parts`,
        each(() => writePublish(sink, version, content, one))
      ),
      figure(
        `${name}, copied from a frame`,
        each(() => writeFrame(sink, frame, 0x32, 7))
      ),
      figure(
        `${name}, mqtt-packet`,
        each(() => sink.write(generate(library, { protocolVersion: version })))
      )
    ]
  })
}

const libraryProperties = {
  contentType: "application/json",
  responseTopic: "replies/device-0042",
  userProperties: { trace: "0af7651916cd43dd" }
}

const acknowledging = (measure: Measure): ReadonlyArray<Figure> => {
  const sink = new ByteSink(new PagePool())
  const each = (write: () => void): Sample =>
    measure(() => {
      for (let index = 0; index < packetsInChunk; index++) write()
      sink.release()
    })
  return [
    figure(
      "encode PUBACK",
      each(() => writeAck(sink, 4, "Puback", 7, 0))
    ),
    figure(
      "encode PUBACK, mqtt-packet",
      each(() => sink.write(generate({ cmd: "puback", messageId: 7 })))
    )
  ]
}
