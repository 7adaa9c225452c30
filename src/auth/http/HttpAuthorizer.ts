/**
 * A service over HTTP that says what clients may do: each action goes there as JSON, and `allow` or `deny`
 * comes back. Whatever else comes back, or nothing, means no, and is not kept.
 *
 *     {"tenant":"acme","principal":"ada","clientId":"c1",
 *      "action":"publish","topic":"a/b","qos":1,"retain":false}
 *     {"tenant":"acme","principal":"ada","clientId":"c1",
 *      "action":"subscribe","topic":"a/#","qos":1,"group":"g"}
 *     {"result":"allow"}
 *
 * For a subscription the topic is the filter, without `$share/group/`, and the answer holds for all of it.
 */

import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { AuthorizationUnavailable, type Authorizer, type Decision } from "../Authorizer.ts"
import { type HttpServiceOptions, httpService } from "./HttpService.ts"

const Answer = Schema.parseJson(Schema.Struct({ result: Schema.Literal("allow", "deny") }))

/** To be used with `cached`: it asks for every single message. */
export const httpAuthorizer = (options: HttpServiceOptions): Authorizer["Type"] => {
  const decode = Schema.decodeUnknownEither(Answer)
  const service = httpService(options, { purpose: "authorization", decode })
  const ask = (question: object): Decision =>
    service(JSON.stringify(question)).pipe(
      Effect.map(({ result }) => result === "allow"),
      Effect.mapError((reason) => new AuthorizationUnavailable({ reason: `the service is ${reason}` }))
    )
  return {
    permissions: ({ clientId, principal, tenant }) => {
      const client = { tenant, principal, clientId }
      return Effect.succeed({
        publish: (topic, qos, retain) => ask({ ...client, action: "publish", topic, qos, retain }),
        subscribe: (topic, qos, group) => ask({ ...client, action: "subscribe", topic, qos, group }),
        deliver: undefined,
        explain: () => ({ allowed: undefined, why: "a service over HTTP is asked" })
      })
    }
  }
}
