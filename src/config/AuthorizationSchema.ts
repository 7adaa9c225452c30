/** The `authorization` section: what clients may do, by files of rules and by a service that is asked. */

import * as Schema from "effect/Schema"
import { describe, duration, integer, oneOf, optionalUrl, secretOrNone, text, texts } from "../values/Key.ts"

const Http = Schema.Struct({
  url: describe(
    optionalUrl,
    "The service that is asked what a client may do: each action is sent there by POST, as JSON",
    ""
  ),
  authorization: describe(secretOrNone("a text"), "The header Authorization of each call", ""),
  timeout: describe(duration(10, 600_000), "What a call may take", "2s"),
  concurrency: describe(
    integer(1, 100_000),
    "Calls under way at a time; what is asked beyond that is refused",
    256
  ),
  allowedTtl: describe(duration(0, 86_400_000), "How long a yes is kept and not asked for again", "1m"),
  refusedTtl: describe(duration(0, 86_400_000), "How long a no is kept", "5s"),
  cacheSize: describe(integer(1, 10_000_000), "Answers that are kept", 100_000),
  failures: describe(integer(1, 1_000_000), "Failures in a row after which the service is left alone", 5),
  rest: describe(duration(1, 3_600_000), "How long it is left alone before it is tried again", "10s")
})

export const Authorization = Schema.Struct({
  files: describe(
    texts("a list of paths"),
    "Files of access rules, in this order; read again when they change. Once there are any, what no rule " +
      "allows is denied",
    []
  ),
  directory: describe(
    text('the path of a folder, or ""', /^/),
    "A folder whose `*.acl` files are read, in the order of their names, behind `files`",
    ""
  ),
  default: describe(
    oneOf("allow", "deny"),
    "What a client may do where neither rules nor a service are configured and its credentials grant " +
      "nothing in particular",
    "allow"
  ),
  http: Http
})
