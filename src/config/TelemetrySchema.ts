/** The sections `metrics` and `tracing`: what operators see of the broker, and where it goes. */

import * as Schema from "effect/Schema"
import {
  boolean,
  checked,
  describe,
  duration,
  integer,
  number,
  oneOf,
  secretOrNone,
  text
} from "../values/Key.ts"
import { hasUser } from "../values/publicUrl.ts"

const countMax = 1_000_000_000

const isCollector = (url: string): boolean => url === "" || (/^https?:\/\/[^\s/]+/.test(url) && !hasUser(url))

export const Metrics = Schema.Struct({
  enabled: describe(boolean, "Serve `/metrics`, `/health/live` and `/health/ready` over HTTP", true),
  host: describe(
    text("an address or host name, or * for all interfaces"),
    "Address to serve them on; they say nothing of messages, but name tenants",
    "127.0.0.1"
  ),
  port: describe(integer(0, 65_535), "TCP port; 0 takes any free one", 9464),
  tenantsMax: describe(
    integer(0, countMax),
    "Tenants that are shown by name, those with most traffic; the rest together as `_other`",
    100
  ),
  exportInterval: describe(
    duration(1000, 3_600_000),
    "How often they are sent to `tracing.endpoint` as well, if there is one",
    "15s"
  )
})

export const Tracing = Schema.Struct({
  endpoint: describe(
    checked(isCollector, 'a URL such as http://localhost:4318, or ""'),
    "An OpenTelemetry collector that takes OTLP over HTTP; nothing is traced without",
    ""
  ),
  authorization: describe(secretOrNone("a text"), "The header Authorization of what is sent there", ""),
  encoding: describe(
    oneOf("json", "protobuf"),
    "How spans are written; `json` takes less of the processor",
    "json"
  ),
  serviceName: describe(text("a name"), "What the broker calls itself: `service.name`", "heddle"),
  ratio: describe(number(0, 1), "Share of messages, connects and subscribes that are traced", 0),
  honourPublishers: describe(
    boolean,
    "Trace what its publisher traces: a user property `traceparent` that says so",
    true
  ),
  perSecondMax: describe(
    integer(1, countMax),
    "Traces begun in a second; more are left out, and counted",
    1000
  ),
  spansMax: describe(
    integer(1, 10_000_000),
    "Spans that wait for the collector; more are lost, and counted",
    20_000
  ),
  interval: describe(duration(10, 600_000), "How often what waits is sent", "1s"),
  timeout: describe(duration(10, 600_000), "What the collector may take for its answer", "5s")
})
