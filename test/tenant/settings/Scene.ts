/** A setting at work: a broker that has it, and what clients of each version see of that. */

import { expect } from "bun:test"
import type { TenantSettings } from "../../../src/tenant/TenantSettings.ts"
import { concat, properties, type RawConnect, raw } from "../../support/raw.ts"
import { type TestBroker, type TestClient, withBroker } from "../../support/testBroker.ts"

export interface Scene {
  readonly settings: Partial<TenantSettings>
  /** Bytes that the wire holds, for clients that are slow. */
  readonly wireBytesMax?: number
  readonly play: (stage: Stage) => Promise<void>
}

export class Stage {
  constructor(
    readonly broker: TestBroker,
    readonly version: 4 | 5
  ) {}

  get isVersion5(): boolean {
    return this.version === 5
  }

  connect(clientId = "c", options: RawConnect = {}): Promise<TestClient> {
    return this.broker.connect({ version: this.version, clientId, keepAlive: 0, ...options })
  }

  /** One whose session outlives its connection. */
  lasting(clientId = "c", options: RawConnect = {}): Promise<TestClient> {
    const expiry = properties.sessionExpiryInterval(3600)
    const more = options.properties ?? Buffer.alloc(0)
    return this.connect(clientId, {
      clean: false,
      ...options,
      ...(this.isVersion5 && { properties: concat(expiry, more) })
    })
  }

  /** Asks to be let in, and answers what CONNACK says: 0 is yes, undefined no CONNACK at all. */
  async knock(options: RawConnect): Promise<number | undefined> {
    const client = this.broker.open(this.version)
    await client.send(raw.connect({ version: this.version, clientId: "knocker", ...options }))
    const answer = await client.next()
    if (answer === undefined) return undefined
    expect(answer.cmd).toBe("connack")
    if (answer.cmd !== "connack") return undefined
    return this.isVersion5 ? answer.reasonCode : answer.returnCode
  }

  /** What SUBACK says. */
  async subscribe(
    client: TestClient,
    ...filters: ReadonlyArray<string | readonly [string, number]>
  ): Promise<unknown> {
    await client.send(raw.subscribe({ version: this.version, packetId: 77, filters }))
    return (await client.expect("suback")).granted
  }

  /** Publishes at QoS 1, and answers what PUBACK says: a version that cannot be told hears 0. */
  async publish(
    client: TestClient,
    topic: string,
    payload = "x",
    options: { readonly retain?: boolean } = {}
  ): Promise<number> {
    const { version } = this
    await client.send(raw.publish({ version, topic, payload, qos: 1, packetId: 99, ...options }))
    const ack = await client.expect("puback")
    return ack.reasonCode ?? 0
  }

  /** The code of DISCONNECT, which earlier versions do not hear: they are just closed. */
  async closedWith(client: TestClient, reasonCode: number): Promise<void> {
    const last = (await client.untilClosed()).at(-1)
    if (this.isVersion5) expect(last?.cmd === "disconnect" ? last.reasonCode : undefined).toBe(reasonCode)
    else expect(last?.cmd).not.toBe("disconnect")
  }

  /** Payloads that come until a ping is answered. */
  async payloads(client: TestClient): Promise<ReadonlyArray<string>> {
    await client.send(raw.pingreq())
    const payloads: Array<string> = []
    for (let packet = await client.next(); packet?.cmd === "publish"; packet = await client.next()) {
      payloads.push(packet.payload.toString())
    }
    return payloads
  }

  async leave(client: TestClient): Promise<void> {
    client.drop()
    await this.broker.settle()
  }
}

export const play = ({ play: body, settings, wireBytesMax }: Scene, version: 4 | 5): Promise<void> =>
  withBroker({ settings, ...(wireBytesMax !== undefined && { wireBytesMax }) }, (broker) =>
    body(new Stage(broker, version))
  )
