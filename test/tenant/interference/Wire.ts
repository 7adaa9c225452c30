/** A client's connection, which keeps what it is sent, and acknowledges it. */

import { raw, ServerReader, type Version } from "../../support/raw.ts"
import type { TestClient } from "../../support/testBroker.ts"
import { type ClientStep, topicFilters, topics } from "./Trace.ts"

const broken: ReadonlyArray<Uint8Array> = [
  Buffer.from([0xf0, 0xff, 0xff, 0xff, 0xff, 0xff]),
  raw.publish({ topic: "a/#" }),
  raw.connect(),
  raw.packet(0x10, Buffer.from("no packet"))
]

export class Wire {
  private readonly chunks: Array<Uint8Array> = []
  private isOpen = true
  private isDeaf = false
  private isSilent = false
  private packetId = 0
  /** Acknowledgements that are to be sent. */
  private owed: Array<Uint8Array> = []
  private readonly reader: ServerReader

  constructor(
    private readonly client: TestClient,
    private readonly version: Version,
    /** It acknowledges when it is told to: what it is sent depends on nothing else then. */
    private readonly isPatient: boolean
  ) {
    this.reader = new ServerReader(version)
    void this.receive()
  }

  private async receive(): Promise<void> {
    while (!this.isDeaf) {
      const chunk = await this.client.wire.receive()
      if (chunk === undefined) break
      this.chunks.push(chunk)
      if (!this.isSilent) for (const packet of this.reader.push(chunk)) this.acknowledge(packet)
      if (!this.isPatient) this.answer()
    }
    this.isOpen = this.isDeaf
  }

  private acknowledge(packet: ReturnType<ServerReader["push"]>[number]): void {
    const { messageId: packetId = 0 } = packet
    if (packet.cmd === "publish" && packet.qos === 1) this.owed.push(raw.puback({ packetId }))
    if (packet.cmd === "publish" && packet.qos === 2) this.owed.push(raw.pubrec({ packetId }))
    if (packet.cmd === "pubrel") this.owed.push(raw.pubcomp({ packetId }))
    if (packet.cmd === "pubrec" && (packet.reasonCode ?? 0) < 0x80) this.owed.push(raw.pubrel({ packetId }))
  }

  /** Sends the acknowledgements that it owes. False when there are none. */
  answer(): boolean {
    const { owed } = this
    if (owed.length === 0) return false
    this.owed = []
    this.write(Buffer.concat(owed))
    return true
  }

  private write(bytes: Uint8Array): void {
    void this.client.wire.send(bytes)
  }

  do(step: Exclude<ClientStep, { readonly _tag: "Connect" }>, label: string): void {
    const { version } = this
    switch (step._tag) {
      case "Publish": {
        const { qos, retain, times } = step
        const topic = topics[step.topic] ?? ""
        const payload = `${label} ${"x".repeat(step.bytes)}`
        const publish = () => raw.publish({ version, topic, payload, qos, retain, packetId: this.nextId() })
        return this.write(Buffer.concat(Array.from({ length: times }, publish)))
      }
      case "Subscribe": {
        const filters = step.filters.map(
          (filter) => [topicFilters[filter] ?? "", this.options(step.options)] as const
        )
        return this.write(raw.subscribe({ version, packetId: this.nextId(), filters }))
      }
      case "Unsubscribe":
        return this.write(
          raw.unsubscribe({ version, packetId: this.nextId(), filters: [topicFilters[step.filter] ?? ""] })
        )
      case "Leave":
        if (step.how === "drop") return this.client.drop()
        return this.write(raw.disconnect(step.how === "with will" && version === 5 ? { reasonCode: 4 } : {}))
      case "Break":
        return this.write(broken[step.how] ?? Buffer.alloc(0))
      case "Stall":
        if (step.how === "deaf") this.isDeaf = true
        else this.isSilent = true
    }
  }

  private options(options: number): number {
    return this.version === 5 ? options : options & 3
  }

  private nextId(): number {
    this.packetId = (this.packetId % 1000) + 1
    return this.packetId
  }

  /** It is there, and takes what it is sent. */
  get isListening(): boolean {
    return this.isOpen && !this.isDeaf
  }

  ping(): void {
    this.write(raw.pingreq())
  }

  /** The last that it has got is PINGRESP. */
  get hasPong(): boolean {
    return Buffer.concat(this.chunks)
      .subarray(-2)
      .equals(Buffer.from([0xd0, 0]))
  }

  drop(): void {
    this.client.drop()
  }

  get size(): number {
    return this.chunks.length + (this.isOpen ? 1 : 0)
  }

  get line(): string {
    return `${Buffer.concat(this.chunks).toString("latin1")}${this.isOpen ? "" : " closed"}`
  }
}
