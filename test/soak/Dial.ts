/** Byte streams to a broker, over memory or TCP alike: what is sent is queued until the stream takes it. */

import type { Socket } from "bun"
import type { MemoryListener } from "../../src/transport/Memory.ts"
import type { Wire } from "../../src/transport/Transport.ts"

export interface LineEvents {
  readonly onData: (chunk: Uint8Array) => void
  /** Once; also when the line never came about. */
  readonly onClose: () => void
}

export interface Line {
  readonly send: (bytes: Uint8Array) => void
  /** Closes in order: what was sent arrives first. */
  readonly end: () => void
  /** Drops the line at once. */
  readonly destroy: () => void
}

export type Dial = (events: LineEvents) => Line

/** What waits for room, oldest first. */
class Outlet {
  private waiting: Array<Uint8Array> = []
  private isEnding = false

  constructor(
    private readonly write: (bytes: Uint8Array) => number,
    private readonly finish: () => void
  ) {}

  send(bytes: Uint8Array): void {
    this.waiting.push(bytes)
    if (this.waiting.length === 1) this.drain()
  }

  end(): void {
    this.isEnding = true
    if (this.waiting.length === 0) this.finish()
  }

  drain(): void {
    for (let bytes = this.waiting[0]; bytes !== undefined; bytes = this.waiting[0]) {
      const taken = this.write(bytes)
      if (taken < bytes.length) {
        if (taken > 0) this.waiting[0] = bytes.subarray(taken)
        return
      }
      this.waiting.shift()
    }
    if (this.isEnding) this.finish()
  }
}

export const memoryDial =
  (listener: MemoryListener): Dial =>
  (events) => {
    const wire: Wire = listener.connectWire({
      onData: events.onData,
      onDrain: () => outlet.drain(),
      onClose: events.onClose
    })
    const outlet = new Outlet(
      (bytes) => wire.write(bytes, 0, bytes.length),
      () => wire.end()
    )
    return {
      send: (bytes) => outlet.send(bytes),
      end: () => outlet.end(),
      destroy: () => wire.destroy()
    }
  }

interface TcpState {
  readonly events: LineEvents
  readonly outlet: Outlet
  /** Asked for before the socket was open. */
  isDestroyed: boolean
  socket: Socket<TcpState> | undefined
}

export const tcpDial =
  (port: number): Dial =>
  (events) => {
    const state: TcpState = {
      events,
      outlet: new Outlet(
        (bytes) => state.socket?.write(bytes) ?? 0,
        () => state.socket?.end()
      ),
      isDestroyed: false,
      socket: undefined
    }
    Bun.connect<TcpState>({ hostname: "127.0.0.1", port, data: state, socket: tcpHandlers }).catch(() =>
      events.onClose()
    )
    return {
      send: (bytes) => state.outlet.send(bytes),
      end: () => state.outlet.end(),
      destroy: () => {
        state.isDestroyed = true
        state.socket?.terminate()
      }
    }
  }

const tcpHandlers = {
  binaryType: "uint8array" as const,
  open: (socket: Socket<TcpState>) => {
    socket.data.socket = socket
    if (socket.data.isDestroyed) socket.terminate()
    else socket.data.outlet.drain()
  },
  data: (socket: Socket<TcpState>, chunk: Uint8Array) => socket.data.events.onData(chunk),
  drain: (socket: Socket<TcpState>) => socket.data.outlet.drain(),
  close: (socket: Socket<TcpState>) => socket.data.events.onClose()
}
