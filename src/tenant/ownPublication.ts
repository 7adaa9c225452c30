/** Messages of the broker's own to a tenant's clients: UTF-8 and its type, at QoS 0, not retained. */

import { Publication } from "../router/Publication.ts"

/** Payload Format Indicator 1 and Content Type. (5.0, 3.3.2.3.2 and 3.3.2.3.9) */
const propertiesFor = (contentType: string): Buffer =>
  Buffer.concat([Buffer.from([0x01, 1, 0x03, 0, contentType.length]), Buffer.from(contentType)])

const properties = { text: propertiesFor("text/plain"), json: propertiesFor("application/json") } as const

export const ownPublication = (topic: string, content: string, kind: "text" | "json"): Publication =>
  Publication.fromStored({
    topic: { name: topic, bytes: Buffer.from(topic) },
    payload: Buffer.from(content),
    forwardedProperties: properties[kind],
    qos: 0,
    retain: false,
    expiresAtMs: 0,
    publisherId: "",
    traceContext: undefined
  })
