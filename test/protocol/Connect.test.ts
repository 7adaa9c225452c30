/**
 * Our reader of CONNECT against the parser of `mqtt-packet`, on the same bytes: what both read is the same,
 * and what it takes for malformed we do not take.
 */

import { describe, expect, test } from "bun:test"
import * as FastCheck from "effect/FastCheck"
import { generate, type IConnectPacket, type Packet as LibraryPacket, parser } from "mqtt-packet"
import { Decoder } from "../../src/protocol/Decoder.ts"
import { MalformedPacket } from "../../src/protocol/MalformedPacket.ts"
import type { Connect } from "../../src/protocol/Packet.ts"

const runs = { seed: 20_26, numRuns: 400 }

const ours = (frame: Buffer): Connect | MalformedPacket => {
  const decoder = new Decoder({ packetBytesMax: 1e6 })
  decoder.push(Buffer.from(frame))
  try {
    const packet = decoder.next()
    if (packet?._tag !== "Connect") throw new TypeError("no CONNECT came out")
    return packet
  } catch (error) {
    if (error instanceof MalformedPacket) return error
    throw error
  }
}

const theirs = (frame: Buffer): IConnectPacket | undefined => {
  const reader = parser()
  let packet: LibraryPacket | undefined
  reader.on("packet", (each) => {
    packet = each
  })
  reader.on("error", () => {
    packet = undefined
  })
  try {
    reader.parse(Buffer.from(frame))
  } catch {
    return undefined
  }
  return packet?.cmd === "connect" ? packet : undefined
}

type Said = Readonly<Record<string, unknown>>

/** What both say, in one spelling. */
const said = (packet: IConnectPacket): Said => ({
  protocolVersion: packet.protocolVersion,
  cleanStart: packet.clean ?? false,
  keepAlive: packet.keepalive ?? 0,
  clientId: packet.clientId,
  username: packet.username,
  password: packet.password === undefined ? undefined : Uint8Array.from(Buffer.from(packet.password)),
  will: packet.will && {
    topic: packet.will.topic,
    payload: Uint8Array.from(Buffer.from(packet.will.payload)),
    qos: packet.will.qos,
    retain: packet.will.retain ?? false,
    delayInterval: packet.will.properties?.willDelayInterval ?? 0,
    messageExpiryInterval: packet.will.properties?.messageExpiryInterval ?? -1
  },
  sessionExpiryInterval: packet.properties?.sessionExpiryInterval,
  receiveMaximum: packet.properties?.receiveMaximum,
  maximumPacketSize: packet.properties?.maximumPacketSize,
  authenticationMethod: packet.properties?.authenticationMethod
})

const read = ({ properties, will, ...packet }: Connect): Said => ({
  protocolVersion: packet.protocolVersion,
  cleanStart: packet.cleanStart,
  keepAlive: packet.keepAlive,
  clientId: packet.clientId,
  username: packet.username,
  password: packet.password,
  will: will && {
    topic: will.topic,
    payload: will.payload,
    qos: will.qos,
    retain: will.retain,
    delayInterval: will.delayInterval,
    messageExpiryInterval: will.messageExpiryInterval
  },
  sessionExpiryInterval: properties.sessionExpiryInterval,
  receiveMaximum: properties.receiveMaximum,
  maximumPacketSize: properties.maximumPacketSize,
  authenticationMethod: properties.authenticationMethod
})

const text = FastCheck.string({ unit: "grapheme", maxLength: 12 }).filter((value) => !value.includes("\0"))
const bytes = FastCheck.uint8Array({ maxLength: 80 }).map((value) => Buffer.from(value))
const seconds = FastCheck.integer({ min: 0, max: 0xffffffff })
const positive = FastCheck.integer({ min: 1, max: 65_535 })
const maybe = <T>(value: FastCheck.Arbitrary<T>) => FastCheck.option(value, { nil: undefined })

const connect = FastCheck.record({
  version: FastCheck.constantFrom(3, 4, 5),
  clientId: text.map((value) => `c${value}`),
  clean: FastCheck.boolean(),
  keepalive: FastCheck.integer({ min: 0, max: 65_535 }),
  username: maybe(text),
  password: maybe(bytes),
  will: maybe(
    FastCheck.record({
      topic: text.map((value) => `w/${value.replaceAll(/[#+]/g, "-")}`),
      payload: bytes,
      qos: FastCheck.constantFrom(0, 1, 2),
      retain: FastCheck.boolean(),
      willDelayInterval: maybe(seconds),
      messageExpiryInterval: maybe(seconds)
    })
  ),
  properties: FastCheck.record(
    {
      sessionExpiryInterval: seconds,
      receiveMaximum: positive,
      maximumPacketSize: positive,
      authenticationMethod: text
    },
    { requiredKeys: [] }
  )
})

const frame = connect.map(({ version, will, properties, password, username, ...base }) => {
  const is5 = version === 5
  // The library does not write a password alone, which 5.0 allows; a changed byte gets us there as well.
  const hasPassword = password !== undefined && username !== undefined
  const { messageExpiryInterval, willDelayInterval, ...plainWill } = will ?? {}
  const willProperties = {
    ...(willDelayInterval !== undefined && { willDelayInterval }),
    ...(messageExpiryInterval !== undefined && { messageExpiryInterval })
  }
  const packet = {
    cmd: "connect",
    protocolId: version === 3 ? "MQIsdp" : "MQTT",
    protocolVersion: version,
    ...base,
    ...(username !== undefined && { username }),
    ...(hasPassword && { password }),
    ...(will !== undefined && { will: { ...plainWill, ...(is5 && { properties: willProperties }) } }),
    ...(is5 && { properties })
  }
  return generate(packet as unknown as LibraryPacket, { protocolVersion: version })
})

describe("CONNECT as mqtt-packet reads it", () => {
  test("whatever it generates", () => {
    const property = FastCheck.property(frame, (frame) => {
      const expected = theirs(frame)
      if (expected === undefined) throw new TypeError("mqtt-packet does not read what it wrote")
      const packet = ours(frame)
      if (packet instanceof MalformedPacket) throw packet
      expect(read(packet)).toEqual(said(expected))
    })
    FastCheck.assert(property, runs)
  })

  test("with one byte changed: the same, or we are the stricter", () => {
    const changed = FastCheck.tuple(frame, FastCheck.nat(), FastCheck.integer({ min: 0, max: 255 }))
    let bothRead = 0
    let refused = 0
    const property = FastCheck.property(changed, ([frame, where, byte]) => {
      // The fixed header says how long it is: what follows may be anything.
      const header = frame[1]! < 0x80 ? 2 : 3
      const at = header + (where % (frame.length - header))
      const bytes = Buffer.from(frame)
      bytes[at] = byte
      const packet = ours(bytes)
      if (packet instanceof MalformedPacket) {
        refused++
        return
      }
      bothRead++
      const expected = theirs(bytes)
      expect(expected && said(expected)).toEqual(read(packet))
    })
    FastCheck.assert(property, { ...runs, numRuns: 2000 })
    expect(Math.min(bothRead, refused)).toBeGreaterThan(100)
  })

  test("its bytes are its own: the chunk may be written again", () => {
    const bytes = generate({
      cmd: "connect",
      clientId: "c",
      username: "u",
      password: Buffer.from("secret"),
      will: { topic: "w", payload: Buffer.from("last"), qos: 1, retain: false }
    } as unknown as LibraryPacket)
    const decoder = new Decoder({ packetBytesMax: 1e6 })
    decoder.push(bytes)
    const packet = decoder.next()
    bytes.fill(0xff)
    expect(packet).toMatchObject({
      password: Uint8Array.from(Buffer.from("secret")),
      will: { topic: "w", payload: Uint8Array.from(Buffer.from("last")) }
    })
  })
})
