/** What a connection needs of its broker. */

import type * as Fiber from "effect/Fiber"
import type { DeadlineWheel } from "../actor/DeadlineWheel.ts"
import type { Dispatcher } from "../actor/Dispatcher.ts"
import type { PagePool } from "../protocol/ByteSink.ts"
import type { Decoder } from "../protocol/Decoder.ts"
import type { MalformedPacket } from "../protocol/MalformedPacket.ts"
import type { Connect } from "../protocol/Packet.ts"
import type { Followers } from "../telemetry/follow/Followers.ts"
import type { Connection } from "./Connection.ts"

export interface ConnectionContext {
  readonly dispatcher: Dispatcher
  /** The time now, not that of the last tick: a socket speaks between ticks. */
  readonly nowMs: () => number
  /** The wheel of handshakes and of closing connections: the broker's, because they have no tenant yet. */
  readonly deadlines: DeadlineWheel
  readonly pages: PagePool
  readonly decoder: () => Decoder
  readonly followers: Followers
  /** Starts the fiber that serves the connection from its CONNECT to its end. */
  readonly serve: (connection: Connection, connect: Connect) => Fiber.RuntimeFiber<void>
  /** What came first is no CONNECT that could be served. */
  readonly refuse: (connection: Connection, error: MalformedPacket) => void
  /** The wire has closed. Called once. */
  readonly gone: (connection: Connection) => void
  /** The peer went away in the middle of its handshake. */
  readonly aborted: (connection: Connection) => void
  /** A handshake has taken too long: its connection is about to be destroyed. */
  readonly timedOut: (connection: Connection) => void
  /** True while the broker shuts down: whoever goes now goes because of that. */
  readonly isDraining: () => boolean
}
