/**
 * Explains what a broker would do about a client's action, step by step, from live state.
 *
 * It asks and changes nothing: sessions and the router answer by message, behind what they were told before;
 * permissions are asked as for the action itself. A policy is not asked, because asking it may do something.
 */

import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { settleDecisions } from "../auth/Authorizer.ts"
import { BanList } from "../auth/guard/BanList.ts"
import { Broker } from "../Broker.ts"
import type { Happened } from "../events/eventJson.ts"
import type { RouteView } from "../router/RouterMessage.ts"
import type { SessionView } from "../session/view.ts"
import { TenantDirectory, type TenantUnavailable } from "../tenant/TenantDirectory.ts"
import { parseTopicFilter } from "../topic/TopicFilter.ts"
import { type Explanation, explanationOf, instant, type Question, type Step, say } from "./Explanation.ts"
import { limitSteps, type Place, windowSteps } from "./limitSteps.ts"
import { sessionSteps } from "./sessionSteps.ts"

export class Explain extends Context.Tag("heddle/Explain")<
  Explain,
  {
    /** Fails when there is no such tenant. */
    readonly explain: (question: Question) => Effect.Effect<Explanation, TenantUnavailable>
  }
>() {
  static readonly layer: Layer.Layer<Explain, never, Broker | TenantDirectory> = Layer.effect(
    Explain,
    Effect.gen(function* () {
      const broker = yield* Broker
      const directory = yield* TenantDirectory
      const bans = Option.getOrUndefined(yield* Effect.serviceOption(BanList))
      return { explain: (question) => explain(question, { broker, directory, bans }) }
    })
  )
}

interface Sources {
  readonly broker: Broker["Type"]
  readonly directory: TenantDirectory["Type"]
  readonly bans: BanList["Type"] | undefined
}

const explain = (question: Question, sources: Sources): Effect.Effect<Explanation, TenantUnavailable> =>
  Effect.gen(function* () {
    const { action, clientId, tenant, topic } = question
    const { administration, events } = sources.broker
    const place = yield* placeOf(question, sources)
    const nowMs = yield* Clock.currentTimeMillis
    const session = yield* administration.session(tenant, clientId, { action, topic })
    const isRouted = (action === "publish" || action === "receive") && !/[+#]/.test(topic)
    const route = isRouted ? yield* administration.route(tenant, topic) : undefined
    const steps = [
      tenantStep(question, place),
      ...banSteps(question, session, sources),
      ...sessionSteps(question, session, nowMs),
      ...limitSteps(question, place, session),
      ...windowSteps(question, place, nowMs),
      ...(yield* permissionSteps(question, session)),
      ...policySteps(question, place),
      ...(route === undefined ? [] : routeSteps(question, route, session)),
      ...recentSteps([...events.recent.of(undefined, clientId), ...events.recent.of(tenant, clientId)])
    ]
    return explanationOf(question, steps)
  })

const placeOf = (
  { tenant }: Question,
  { broker, directory }: Sources
): Effect.Effect<Place, TenantUnavailable> => {
  const live = broker.administration.tenant(tenant)
  if (live !== undefined) return Effect.succeed({ live, state: live.state, settings: live.settings })
  return Effect.gen(function* () {
    const settings = yield* directory.settings(tenant)
    const state = directory.state === undefined ? "active" : yield* directory.state(tenant)
    return { live, state, settings }
  })
}

const tenantStep = ({ tenant }: Question, { live, state }: Place): Step => {
  if (state !== "active") return say("tenant", "no", `${tenant} is ${state}`)
  const since = live === undefined ? ", and no client of it has come since the broker started" : ""
  return say("tenant", "yes", `${tenant} is active${since}`)
}

const banSteps = (
  { clientId, tenant }: Question,
  session: SessionView | undefined,
  { bans }: Sources
): ReadonlyArray<Step> => {
  if (bans === undefined) return []
  const principal = session?.identity.principal
  const address = session?.identity.peer.address ?? ""
  // Without a session nobody knows the user; no user is called that.
  const ban = bans.ofClient({ tenant, clientId, principal: principal ?? "\0" }) ?? bans.ofAddress(address)
  if (ban === undefined) return [say("bans", "yes", "no ban covers the client")]
  const until = ban.untilMs === undefined ? "for good" : `until ${instant(ban.untilMs)}`
  return [say("bans", "no", `the ${ban.subject._tag.toLowerCase()} is banned ${until}: ${ban.reason}`)]
}

const permissionSteps = (
  question: Question,
  session: SessionView | undefined
): Effect.Effect<ReadonlyArray<Step>> => {
  const { action, qos, retain, topic } = question
  if (action === "connect") return Effect.succeed([])
  if (session === undefined) {
    const detail =
      "what the client may do follows from its credentials, and there is no session that has them"
    return Effect.succeed([say("permission", "unknown", detail)])
  }
  const { permissions } = session
  if (action === "receive") {
    const allowed = permissions.deliver?.(topic) ?? true
    const detail = allowed
      ? "nothing denies the topic"
      : "a rule denies the topic within what is subscribed to"
    return Effect.succeed([say("permission", allowed ? "yes" : "no", detail)])
  }
  const filter = parseTopicFilter(topic)
  const plain = filter._tag === "Invalid" ? topic : filter.filter
  const group = filter._tag === "Shared" ? filter.group : undefined
  const explained = permissions.explain?.(
    action === "publish"
      ? { _tag: "Publish", topic, qos, retain }
      : { _tag: "Subscribe", topicFilter: plain, qos, group }
  )
  if (explained?.allowed !== undefined) {
    const { allowed, rule, why } = explained
    const place = rule?.file === undefined ? "" : ` (${rule.file}, line ${rule.line})`
    const detail = rule === undefined ? why : `${why}: ${rule.text}${place}`
    return Effect.succeed([say("permission", allowed ? "yes" : "no", detail)])
  }
  const decide = () =>
    action === "publish" ? permissions.publish(topic, qos, retain) : permissions.subscribe(plain, qos, group)
  return Effect.map(settleDecisions([decide()]), ([allowed]) => {
    const detail = `the authorizer ${allowed === true ? "allows" : "denies"} it`
    return [say("permission", allowed === true ? "yes" : "no", detail)]
  })
}

const hooks = { connect: "admit", publish: "publish", subscribe: "subscribe", receive: "deliver" } as const

const policySteps = ({ action }: Question, { live }: Place): ReadonlyArray<Step> =>
  live?.policy?.[hooks[action]] === undefined
    ? []
    : [
        say(
          "policy",
          "note",
          `the tenant's policy has the last word (${hooks[action]}); it is not asked here`
        )
      ]

/** Subscribers that are named. */
const NAMED_MAX = 10

const routeSteps = (
  { action, topic }: Question,
  route: RouteView,
  session: SessionView | undefined
): ReadonlyArray<Step> => {
  const steps: Array<Step> = []
  if (action === "publish") {
    const { groups, shown, subscribers } = route
    const named = shown.slice(0, NAMED_MAX).map(subscriberText)
    const more = subscribers > named.length ? ` and ${subscribers - named.length} more` : ""
    const nobody = subscribers === 0 && groups.length === 0
    steps.push(
      say(
        "subscribers",
        "note",
        nobody ? "nobody subscribes to it" : `${subscribers}: ${named.join(", ")}${more}`
      )
    )
    for (const { members, name, strategy, topicFilter } of groups) {
      const detail = `group ${name} on ${topicFilter}: one of ${members} (${strategy})`
      steps.push(say("subscribers", "note", detail))
    }
  } else {
    const matching = session?.matching ?? []
    const named = matching.map(({ qos, topicFilter }) => `${topicFilter} (QoS ${qos})`)
    steps.push(
      named.length === 0
        ? say("subscriptions", "no", `none of the client's subscriptions matches ${topic}`)
        : say("subscriptions", "yes", `${named.slice(0, NAMED_MAX).join(", ")}`)
    )
  }
  const { retained } = route
  if (retained !== undefined) {
    const publisher = retained.publisherId || "the broker"
    const detail = `${retained.bytes} bytes, QoS ${retained.qos}, published by ${publisher}`
    steps.push(say("retained", "note", detail))
  }
  return steps
}

const subscriberText = ({ clientId, isConnected, qos }: RouteView["shown"][number]): string =>
  `${clientId} (QoS ${qos}${isConnected ? "" : ", absent: kept for it"})`

const recentSteps = (happened: ReadonlyArray<Happened>): ReadonlyArray<Step> =>
  happened
    .toSorted((a, b) => a.atMs - b.atMs)
    .map(({ atMs, event }) => say("lately", "note", `${instant(atMs)} ${event._tag}: ${reasonOf(event)}`))

const reasonOf = (event: Happened["event"]): string => {
  const place =
    "topic" in event ? ` (${event.topic})` : "topicFilter" in event ? ` (${event.topicFilter})` : ""
  if ("reason" in event) return `${event.reason}${place}`
  return "resource" in event ? `${event.resource}${place}` : "no reason was given"
}
