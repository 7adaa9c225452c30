/** The `authorization` section: what clients may do, by files of rules and by a service that is asked. */

import * as Schema from "effect/Schema"
import { describe, oneOf, text, texts } from "../values/Key.ts"
import { calloutKeys, calloutRest, yesTtl } from "./calloutKeys.ts"

const Http = Schema.Struct({
  ...calloutKeys(
    "The service that is asked what a client may do: each action is sent there by POST, as JSON",
    "2s",
    "what is asked beyond that is refused"
  ),
  allowedTtl: yesTtl,
  ...calloutRest
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
