/** How a client has come, as the semantic conventions for networks say it. */

import type { Peer } from "../../transport/Transport.ts"
import type { Attributes } from "./Tracing.ts"

export const networkAttributes = ({
  address,
  transport
}: Pick<Peer, "address" | "transport">): Attributes => ({
  "network.protocol.name": "mqtt",
  "network.transport": transport === "unix" ? "unix" : transport === "memory" ? "pipe" : "tcp",
  "network.peer.address": address === "" ? undefined : address,
  "heddle.transport": transport
})
