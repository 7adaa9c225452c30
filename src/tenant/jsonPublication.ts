/** A message of the broker's own: JSON, at QoS 0, not retained, from nobody. */

import { Publication } from "../router/Publication.ts"

const contentType = Buffer.from("application/json")

/** Payload Format Indicator 1 and Content Type. (5.0, 3.3.2.3.2 and 3.3.2.3.9) */
const forwardedProperties = Buffer.concat([Buffer.from([0x01, 1, 0x03, 0, contentType.length]), contentType])

export const jsonPublication = (topic: string, json: string): Publication =>
  Publication.fromStored({
    topic: { name: topic, bytes: Buffer.from(topic) },
    payload: Buffer.from(json),
    forwardedProperties,
    qos: 0,
    retain: false,
    expiresAtMs: 0,
    publisherId: "",
    traceContext: undefined
  })
