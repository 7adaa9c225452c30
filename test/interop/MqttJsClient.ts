/**
 * MQTT.js as a test wants it: it waits for messages and for the end instead of for time, and never
 * reconnects.
 */

import {
  connect,
  type IClientOptions,
  type IClientPublishOptions,
  type IDisconnectPacket,
  type IPublishPacket,
  type MqttClient
} from "mqtt"
import type { IConnackPacket } from "mqtt-packet"
import { testCertificates } from "../support/certificates.ts"
import type { InteropBroker, Transport } from "./interopBroker.ts"

export type Version = 3 | 4 | 5

export const versionNames: Readonly<Record<Version, string>> = { 3: "3.1", 4: "3.1.1", 5: "5.0" }

const schemes: Readonly<Record<Transport, string>> = { tcp: "mqtt", tls: "mqtts", ws: "ws", wss: "wss" }

const urlOf = (broker: InteropBroker, transport: Transport): string => {
  const path = transport === "ws" || transport === "wss" ? "/mqtt" : ""
  return `${schemes[transport]}://127.0.0.1:${broker.port(transport)}${path}`
}

export interface Place {
  readonly broker: InteropBroker
  readonly transport: Transport
  readonly version: Version
}

export class MqttJsClient {
  readonly messages: Array<IPublishPacket> = []
  /** The DISCONNECT that the server sent. */
  disconnect: IDisconnectPacket | undefined
  /** Resolves when the connection has closed, whoever closed it. */
  readonly closed: Promise<void>
  private connackPacket: IConnackPacket | undefined
  private readonly waiters: Array<() => void> = []

  private constructor(readonly mqtt: MqttClient) {
    this.closed = new Promise((resolve) => mqtt.once("close", () => resolve()))
    mqtt.on("message", (_topic, _payload, packet) => {
      this.messages.push(packet)
      for (const resolve of this.waiters.splice(0)) resolve()
    })
    mqtt.on("connect", (packet) => {
      this.connackPacket = packet
    })
    mqtt.on("disconnect", (packet) => {
      this.disconnect = packet
    })
    // What goes wrong later shows in `closed` and `disconnect`.
    mqtt.on("error", () => undefined)
  }

  /** Connects and waits for CONNACK. Everything that the server sends right behind it is received. */
  static async connect(place: Place, options: IClientOptions = {}): Promise<MqttJsClient> {
    const { broker, transport, version } = place
    const isSecure = transport === "tls" || transport === "wss"
    const mqtt = connect(urlOf(broker, transport), {
      ...(isSecure && { ca: testCertificates().authority.cert, rejectUnauthorized: true }),
      ...(version === 3 && { protocolId: "MQIsdp" }),
      protocolVersion: version,
      reconnectPeriod: 0,
      connectTimeout: 5000,
      ...options
    })
    const client = new MqttJsClient(mqtt)
    const connected = new Promise<void>((resolve) => mqtt.once("connect", () => resolve()))
    await Promise.race([connected, client.closed])
    return client
  }

  get connack(): IConnackPacket {
    if (this.connackPacket === undefined) throw new Error("the server sent no CONNACK that accepts")
    return this.connackPacket
  }

  /** Waits until this many messages have come in all, and answers with all. */
  async received(count: number): Promise<ReadonlyArray<IPublishPacket>> {
    while (this.messages.length < count) {
      await new Promise<void>((resolve) => this.waiters.push(resolve))
    }
    return this.messages
  }

  /** Resolves when the message is acknowledged as its QoS asks. */
  publish(topic: string, payload: string | Buffer, options: IClientPublishOptions = {}): Promise<unknown> {
    return this.mqtt.publishAsync(topic, payload, options)
  }

  /** Says DISCONNECT and waits for the close. */
  async end(): Promise<void> {
    await this.mqtt.endAsync()
  }

  /** Cuts the connection without a word. */
  async cut(): Promise<void> {
    this.mqtt.stream.destroy()
    await this.closed
  }
}

export const textOf = (packet: IPublishPacket | undefined): string => packet?.payload.toString() ?? ""
