/**
 * Several policies as one, seen from the client inwards: the first is asked first, and what it makes of a
 * message the next one sees. The first refusal holds. Deliveries go the other way, so the last is asked
 * first: a mount that puts a prefix on behind a check takes it off before that check.
 */

import type { Identity } from "../../auth/Authenticator.ts"
import type { SettingOverrides } from "../settings/overrides.ts"
import { changedView } from "./PolicyMessage.ts"
import type { Newcomer, Policy } from "./TenantPolicy.ts"
import {
  type AdmitVerdict,
  type Allow,
  type Answer,
  allow,
  andThen,
  type Transform,
  transform
} from "./Verdict.ts"

export const composed = (...policies: ReadonlyArray<Policy>): Policy => {
  const outwards = policies.toReversed()
  const admit = hooksOf(policies, "admit")
  const publish = hooksOf(policies, "publish")
  const subscribe = hooksOf(policies, "subscribe")
  const unsubscribe = hooksOf(policies, "unsubscribe")
  const deliver = hooksOf(outwards, "deliver")
  const settings = hooksOf(policies, "settings")
  return {
    ...(admit.length > 0 && { admit: admitted(admit) }),
    ...(publish.length > 0 && { publish: chained(publish, changedView) }),
    ...(subscribe.length > 0 && { subscribe: chained(subscribe, overlaid) }),
    ...(unsubscribe.length > 0 && { unsubscribe: chained(unsubscribe, overlaid) }),
    ...(deliver.length > 0 && { deliver: chained(deliver, changedView) }),
    ...(settings.length > 0 && { settings: merged(settings) })
  }
}

const hooksOf = <Name extends keyof Policy>(
  policies: ReadonlyArray<Policy>,
  name: Name
): ReadonlyArray<NonNullable<Policy[Name]>> =>
  policies.flatMap((policy) => {
    const hook = policy[name]
    return hook === undefined ? [] : [hook.bind(policy) as NonNullable<Policy[Name]>]
  })

const admitted =
  (hooks: ReadonlyArray<NonNullable<Policy["admit"]>>) =>
  (newcomer: Newcomer): Answer<AdmitVerdict> => {
    const ask = (index: number): Answer<AdmitVerdict> => {
      const hook = hooks[index]
      if (hook === undefined) return allow
      return andThen(hook(newcomer), (verdict) => (verdict._tag === "Allow" ? ask(index + 1) : verdict))
    }
    return ask(0)
  }

type Hook<Subject, Change, No> = (
  subject: Subject,
  client: Identity
) => Answer<Allow | Transform<Change> | No>

const chained =
  <Subject, Change extends object, No extends { readonly _tag: "Refuse" | "Drop" }>(
    hooks: ReadonlyArray<Hook<Subject, Change, No>>,
    overlay: (subject: Subject, change: Change) => Subject
  ): Hook<Subject, Change, No> =>
  (subject, client) => {
    const ask = (
      index: number,
      seen: Subject,
      change: Change | undefined
    ): Answer<Allow | Transform<Change> | No> => {
      const hook = hooks[index]
      if (hook === undefined) return change === undefined ? allow : transform(change)
      return andThen(hook(seen, client), (verdict) => {
        if (verdict._tag === "Allow") return ask(index + 1, seen, change)
        if (verdict._tag !== "Transform") return verdict
        return ask(index + 1, overlay(seen, verdict.change), { ...change, ...verdict.change })
      })
    }
    return ask(0, subject, undefined)
  }

const overlaid = <Subject extends object>(subject: Subject, change: Partial<Subject>): Subject => ({
  ...subject,
  ...change
})

/** Of two that say something of the same setting, the later one has its way. */
const merged =
  (hooks: ReadonlyArray<NonNullable<Policy["settings"]>>) =>
  (tenant: string): Answer<SettingOverrides> => {
    const ask = (index: number, overrides: SettingOverrides): Answer<SettingOverrides> => {
      const hook = hooks[index]
      if (hook === undefined) return overrides
      return andThen(hook(tenant), (more) => ask(index + 1, { ...overrides, ...more }))
    }
    return ask(0, {})
  }
