/** The `control` section: how those who run the broker talk to it. */

import * as Schema from "effect/Schema"
import { describe, integer, text } from "../values/Key.ts"

export const Control = Schema.Struct({
  path: describe(
    text('the path of a socket, "" or off', /^/),
    'The socket of `heddle tenants`, `heddle explain` and the like, which only its owner may open; "" is ' +
      "`heddle.sock` in the folder of `storage.path` (none without a database), `off` is none",
    ""
  ),
  drainRate: describe(
    integer(1, 1_000_000),
    "Clients a second that a tenant sends away when it is drained",
    100
  )
})
