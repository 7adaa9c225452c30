/** Access rules as others write them: in a token's claims, in an answer over HTTP. */

import * as Schema from "effect/Schema"
import { parseTopicFilter } from "../topic/TopicFilter.ts"
import { noTopicLimits } from "../topic/TopicName.ts"

/** Rules to be kept for each client: nobody needs more of them. */
const RULES_MAX = 1000

const isPlainFilter = (filter: string): boolean => parseTopicFilter(filter, noTopicLimits)._tag === "Plain"

/**
 * `{ "permission": "allow", "action": "publish", "topicFilter": "a/#" }`. Without a permission it allows. A
 * filter is plain: rules are for what stands behind `$share/group/`. A key that is not known may be a
 * condition that is misspelt, so the rule is none.
 */
const Rule = Schema.Struct({
  permission: Schema.optionalWith(Schema.Literal("allow", "deny"), { default: () => "allow" as const }),
  action: Schema.Literal("publish", "subscribe", "all"),
  topicFilter: Schema.String.pipe(Schema.filter(isPlainFilter)),
  qos: Schema.optional(Schema.Array(Schema.Literal(0, 1, 2))),
  retain: Schema.optional(Schema.Boolean),
  shared: Schema.optional(Schema.Union(Schema.Boolean, Schema.NonEmptyString)),
  coversAll: Schema.optional(Schema.Boolean)
}).annotations({ parseOptions: { onExcessProperty: "error" } })

export const Rules = Schema.Array(Rule).pipe(Schema.maxItems(RULES_MAX))
