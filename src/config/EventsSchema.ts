/** The `events` section: where what happens is told, beside the log. */

import * as Schema from "effect/Schema"
import { eventKinds } from "../events/eventKinds.ts"
import {
  checkedTexts,
  describe,
  duration,
  integer,
  optionalUrl,
  secretOrNone,
  size,
  texts
} from "../values/Key.ts"

const Webhook = Schema.Struct({
  url: describe(optionalUrl, 'Where events are sent by POST, as a JSON array; "" sends none', ""),
  authorization: describe(secretOrNone("a text"), "The header Authorization of each call", ""),
  tags: describe(
    checkedTexts((tag) => Object.hasOwn(eventKinds, tag), "a list of kinds of events such as ConnectRefused"),
    "Events that are sent; all but those at debug level when empty",
    []
  ),
  tenants: describe(
    texts("a list of tenants"),
    "Tenants whose events are sent; of all, and those of none, when empty",
    []
  ),
  timeout: describe(duration(10, 600_000), "What a call may take", "5s"),
  batchMax: describe(integer(1, 10_000), "Events of one call", 500),
  bufferMax: describe(
    integer(1, 10_000_000),
    "Events that wait to be sent; one more is lost and counted",
    100_000
  ),
  bufferBytesMax: describe(size(1024, 1024 ** 4), "Their bytes", "32MB"),
  retryFor: describe(duration(0, 86_400_000), "How long a call is tried again before it is given up", "10m"),
  failures: describe(integer(1, 1_000_000), "Failures in a row after which the service is left alone", 5),
  rest: describe(duration(1, 3_600_000), "How long it is left alone before it is tried again", "10s")
})

export const Events = Schema.Struct({ webhook: Webhook })
