/** Clients that hold sessions and subscriptions, and some that do not read. */

import type { Socket } from "bun"
import { field, forEach, LoadClient, packetOf, Rota } from "../LoadClient.ts"

/** Filters in one SUBSCRIBE or UNSUBSCRIBE. */
const filtersMax = 100

/** Holds subscriptions, makes and ends them, and ignores what comes. */
export class Holder extends LoadClient {
  private owed = 0
  private done: (() => void) | undefined

  /** Subscribes to all of them, at QoS 1, and resolves when the broker has said so. */
  subscribe(filters: ReadonlyArray<string>): Promise<void> {
    return this.ask(0x82, filters, Buffer.from([1]))
  }

  unsubscribe(filters: ReadonlyArray<string>): Promise<void> {
    return this.ask(0xa2, filters, Buffer.alloc(0))
  }

  protected override received(firstByte: number, bytes: Buffer, body: number, end: number): void {
    const type = firstByte >> 4
    if (type !== 9 && type !== 11) return
    if (type === 9 && bytes.subarray(body + 2, end).some((code) => code >= 0x80)) {
      throw new Error("a subscription was refused")
    }
    this.owed--
    if (this.owed === 0) this.done?.()
  }

  private ask(firstByte: number, filters: ReadonlyArray<string>, options: Buffer): Promise<void> {
    for (let from = 0; from < filters.length; from += filtersMax) {
      const asked = filters.slice(from, from + filtersMax).flatMap((filter) => [field(filter), options])
      this.owed++
      const packet = packetOf(firstByte, Buffer.from([0, this.owed]), ...asked)
      this.append(packet, 0, packet.length)
    }
    this.flush()
    return new Promise((resolve) => {
      this.done = resolve
    })
  }
}

/** Subscribes, and then reads no more until it is asked to go on. */
export class Deaf extends Holder {
  private wire: Socket<LoadClient> | undefined

  override opened(socket: Socket<LoadClient>): void {
    this.wire = socket
    super.opened(socket)
  }

  stopReading(): void {
    this.wire?.pause()
  }

  readOn(): void {
    this.wire?.resume()
  }
}

export const holdersOf = (clientIds: ReadonlyArray<string>): ReadonlyArray<Holder> => {
  const rota = new Rota()
  return clientIds.map((clientId) => new Holder(rota, { clientId, version: 4 }))
}

export const connectAll = (clients: ReadonlyArray<LoadClient>, port: number): Promise<void> =>
  forEach(clients, (client) => client.connect(port))

export const leaveAll = (clients: ReadonlyArray<LoadClient>): Promise<void> =>
  forEach(clients, (client) => client.leave())
