/**
 * A policy as the broker acts upon it: whatever goes wrong in a hook is told, and means no.
 *
 * A hook goes wrong when it throws, dies, is interrupted, takes too long or answers what is no answer; each
 * is told to `failed` with its reason. What the client sees is Implementation specific error (0x83), which
 * says that the packet was right and this server will not have it; below MQTT 5 it is refused as anything
 * else is. A CONNECT is refused with Server unavailable (0x88): the next one may find the policy well.
 */

import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import type { Identity } from "../../auth/Authenticator.ts"
import { ReasonCode } from "../../protocol/ReasonCode.ts"
import { errorText, quietly } from "../../telemetry/redaction.ts"
import { decodeOverrides, encodeOverrides, type SettingOverrides } from "../settings/overrides.ts"
import { isSoundChange } from "./MessageChange.ts"
import type { Policy } from "./TenantPolicy.ts"
import {
  type AdmitVerdict,
  type Answer,
  allow,
  type DeliverVerdict,
  drop,
  type FilterChange,
  type PublishVerdict,
  refuse,
  type SubscribeVerdict,
  type UnsubscribeVerdict
} from "./Verdict.ts"

export interface PolicyFailure {
  /** `of` where the policy itself could not be had. */
  readonly hook: keyof Policy | "of"
  /** "" where it is nobody's in particular. */
  readonly clientId: string
  readonly reason: string
}

export interface GuardOptions {
  readonly timeoutMs: number
  readonly failed: (failure: PolicyFailure) => void
}

/** The policy made safe; undefined when it has no hook that a client meets. */
export const guarded = (policy: Policy, options: GuardOptions): Policy | undefined => {
  const { admit, deliver, publish, subscribe, unsubscribe } = policy
  const hooks = [admit, deliver, publish, subscribe, unsubscribe]
  if (hooks.every((hook) => hook === undefined)) return undefined
  const admits = admit && guard(kinds.admit, admit.bind(policy), options)
  return {
    ...(admits && { admit: (newcomer) => admits(newcomer, newcomer.identity) }),
    ...(publish && { publish: guard(kinds.publish, publish.bind(policy), options) }),
    ...(subscribe && { subscribe: guard(kinds.subscribe, subscribe.bind(policy), options) }),
    ...(unsubscribe && { unsubscribe: guard(kinds.unsubscribe, unsubscribe.bind(policy), options) }),
    ...(deliver && { deliver: guard(kinds.deliver, deliver.bind(policy), options) })
  }
}

/** What to do about a policy that could not be had: nothing is let through. */
export const refusingPolicy = (reason: string): Policy => {
  const no = () => refuse(ReasonCode.ServerUnavailable, reason)
  return { admit: no, publish: no, subscribe: no, unsubscribe: no, deliver: () => drop(reason) }
}

/** What a policy grants a tenant; or why that cannot be told. */
export const overridesOf = (
  { settings }: Policy,
  tenant: string,
  timeoutMs: number
): Effect.Effect<SettingOverrides, string> => {
  if (settings === undefined) return Effect.succeed({})
  return Effect.suspend(() => {
    const answer = settings(tenant)
    return Effect.isEffect(answer) ? inTime(answer, timeoutMs) : Effect.succeed(answer)
  }).pipe(
    Effect.catchAllCause((cause) => Effect.fail(textOf(cause))),
    Effect.flatMap((answer) => {
      if (answer === late) return Effect.fail(late)
      return isRecord(answer) ? soundOverrides(answer) : Effect.fail(nonsenseOf(answer))
    })
  )
}

/** Not an object of some class: a promise, which has no settings, would be one that changes none. */
const isRecord = (answer: unknown): boolean =>
  typeof answer === "object" && answer !== null && Object.getPrototypeOf(answer) === Object.prototype

const soundOverrides = (answer: SettingOverrides): Effect.Effect<SettingOverrides, string> =>
  Effect.try({ try: () => encodeOverrides(answer), catch: () => nonsense }).pipe(
    Effect.flatMap((encoded) =>
      Either.mapLeft(decodeOverrides(encoded), (problems) =>
        problems.map(({ key, message }) => `${key}: ${message}`).join("; ")
      )
    )
  )

interface Kind<V> {
  readonly hook: keyof Policy
  /** The answer as it may be acted upon; undefined when it makes no sense. */
  readonly sound: (answer: unknown) => V | undefined
  readonly no: V
}

type Hook<Subject, V> = (subject: Subject, client: Identity) => Answer<V>

const guard =
  <Subject, V>(kind: Kind<V>, ask: Hook<Subject, V>, { failed, timeoutMs }: GuardOptions): Hook<Subject, V> =>
  (subject, client) => {
    let answer: Answer<V>
    try {
      answer = ask(subject, client)
      if (!Effect.isEffect(answer)) {
        return kind.sound(answer) ?? fail(kind, client, nonsenseOf(answer), failed)
      }
    } catch (thrown) {
      return fail(kind, client, textOf(Cause.die(thrown)), failed)
    }
    if (Exit.isExit(answer) && Exit.isSuccess(answer)) {
      return kind.sound(answer.value) ?? fail(kind, client, nonsense, failed)
    }
    return Effect.matchCause(inTime(answer, timeoutMs), {
      onFailure: (cause) => fail(kind, client, textOf(cause), failed),
      onSuccess: (value) => {
        const sound = value === late ? undefined : kind.sound(value)
        return sound ?? fail(kind, client, value === late ? late : nonsense, failed)
      }
    })
  }

const fail = <V>(
  { hook, no }: Kind<V>,
  { clientId }: Identity,
  reason: string,
  failed: GuardOptions["failed"]
): V => {
  failed({ hook, clientId, reason })
  return no
}

const late = "it took too long"
const nonsense = "its answer makes no sense"

/** It is not waited for any longer, also when it cannot be interrupted. */
const inTime = <A, E>(answer: Effect.Effect<A, E>, timeoutMs: number): Effect.Effect<A | typeof late, E> =>
  quietly(
    Effect.timeoutTo(Effect.disconnect(answer), {
      duration: timeoutMs,
      onSuccess: (value): A | typeof late => value,
      onTimeout: () => late
    })
  )

/** A promise is no answer, and one that is left alone and fails would end the process. */
const nonsenseOf = (answer: unknown): string => {
  if (answer instanceof Promise) answer.catch(() => {})
  return nonsense
}

const reasonCharsMax = 200

const textOf = (cause: Cause.Cause<unknown>): string => {
  if (Cause.isInterruptedOnly(cause)) return "it was interrupted"
  return `it threw ${errorText(Cause.squash(cause))}`.slice(0, reasonCharsMax)
}

const tagOf = (answer: unknown): unknown =>
  typeof answer === "object" && answer !== null && "_tag" in answer ? answer._tag : undefined

/** A refusal with a code that the answering packet has. */
const soundRefusal = (answer: unknown, codes: ReadonlySet<number>) => {
  const { reason, reasonCode } = answer as Partial<ReturnType<typeof refuse>>
  const code = reasonCode !== undefined && codes.has(reasonCode) ? reasonCode : ReasonCode.NotAuthorized
  return refuse(code, typeof reason === "string" ? reason : "")
}

const sound =
  <Change>(codes: ReadonlySet<number>, isChange: (change: unknown) => change is Change) =>
  (answer: unknown) => {
    if (answer === allow) return allow
    switch (tagOf(answer)) {
      case "Allow":
        return allow
      case "Refuse":
        return soundRefusal(answer, codes)
      case "Transform": {
        const { change } = answer as { readonly change?: unknown }
        return isChange(change) ? ({ _tag: "Transform", change } as const) : undefined
      }
      default:
        return undefined
    }
  }

const isFilterChange = (change: unknown): change is FilterChange => {
  if (typeof change !== "object" || change === null) return false
  const { qos, topicFilter }: { readonly [Name in keyof FilterChange]?: unknown } = change
  return (
    (topicFilter === undefined || typeof topicFilter === "string") &&
    (qos === undefined || qos === 0 || qos === 1 || qos === 2)
  )
}

/** The codes with which each packet can say no. (5.0, section 2.4) */
const connackCodes = new Set([
  ...[0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c],
  ...[0x90, 0x95, 0x97, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9f]
])
const pubackCodes = new Set([0x80, 0x83, 0x87, 0x90, 0x97, 0x99])
const subackCodes = new Set([0x80, 0x83, 0x87, 0x8f, 0x97, 0x9e, 0xa1, 0xa2])
const unsubackCodes = new Set([0x80, 0x83, 0x87, 0x8f])

const failed = refuse(ReasonCode.ImplementationSpecificError, "the server's policy failed")

const soundDelivery = sound(new Set(), isSoundChange)
const soundAdmission = sound(connackCodes, isSoundChange)

const kinds = {
  admit: {
    hook: "admit",
    sound: (answer) => {
      const verdict = soundAdmission(answer)
      return verdict?._tag === "Transform" ? undefined : verdict
    },
    no: refuse(ReasonCode.ServerUnavailable, failed.reason)
  } satisfies Kind<AdmitVerdict>,
  publish: {
    hook: "publish",
    sound: sound(pubackCodes, isSoundChange),
    no: failed
  } satisfies Kind<PublishVerdict>,
  subscribe: {
    hook: "subscribe",
    sound: sound(subackCodes, isFilterChange),
    no: failed
  } satisfies Kind<SubscribeVerdict>,
  unsubscribe: {
    hook: "unsubscribe",
    sound: sound(unsubackCodes, isFilterChange),
    no: failed
  } satisfies Kind<UnsubscribeVerdict>,
  deliver: {
    hook: "deliver",
    sound: (answer) => {
      const { reason } = (answer ?? {}) as { readonly reason?: unknown }
      if (tagOf(answer) === "Drop") return drop(typeof reason === "string" ? reason : "")
      const verdict = soundDelivery(answer)
      return verdict?._tag === "Refuse" ? undefined : verdict
    },
    no: drop(failed.reason)
  } satisfies Kind<DeliverVerdict>
} as const
