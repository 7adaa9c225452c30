/** How long a tenant's messages take: recorded where they arrive, read by whoever exports them. */

import { Histogram } from "./metrics/Histogram.ts"

export class Latencies {
  /** From PUBLISH to PUBACK or PUBREC: routing, and storing where something has to be. */
  readonly publish = new Histogram()
  /** From PUBLISH to the socket of a subscriber that was connected. */
  readonly deliver = new Histogram()
  /** From there to the subscriber's PUBACK or PUBCOMP. */
  readonly acknowledge = new Histogram()
}
