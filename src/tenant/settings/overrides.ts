/**
 * Settings that are given to one tenant, over those that every tenant has: decoded from what a person wrote
 * or what is stored, with every problem at once.
 */

import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { valueProblem } from "../../values/Key.ts"
import { type Problem, suggest } from "../../values/Problem.ts"
import { type SettingName, settingNames, settingsTable, type TenantSettings } from "../TenantSettings.ts"

export type SettingOverrides = Partial<TenantSettings>

/**
 * The overrides that a record of names and values says; values as in a configuration file ("1MB", "never").
 * What is no such record, an unknown name or a value that is not allowed is a problem; so is a pair that
 * contradicts itself.
 */
export const decodeOverrides = (given: unknown): Either.Either<SettingOverrides, ReadonlyArray<Problem>> => {
  if (typeof given !== "object" || given === null || Array.isArray(given))
    return Either.left([{ key: "settings", message: "is no set of settings" }])
  const problems: Array<Problem> = []
  const overrides = new Map<string, unknown>()
  for (const [name, value] of Object.entries(given)) {
    const decoded = isSettingName(name) ? decodeSetting(name, value) : unknownSetting(name)
    if (Either.isRight(decoded)) overrides.set(name, decoded.right)
    else problems.push(decoded.left)
  }
  const settings: SettingOverrides = Object.fromEntries(overrides)
  if (problems.length === 0) problems.push(...settingConflicts(settings))
  return problems.length > 0 ? Either.left(problems) : Either.right(settings)
}

/** The overrides as a file would say them: what `decodeOverrides` reads back. */
export const encodeOverrides = (overrides: SettingOverrides): Readonly<Record<string, unknown>> =>
  Object.fromEntries(
    Object.entries(overrides)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, encodeSetting(name as SettingName, value)])
  )

/** New settings: the base's where nothing else is said. */
export const applyOverrides = (base: TenantSettings, overrides: SettingOverrides): TenantSettings => {
  const settings: Record<string, unknown> = { ...base }
  for (const name of settingNames) if (overrides[name] !== undefined) settings[name] = overrides[name]
  return settings as TenantSettings
}

/** One setting as a file says it; `value` as the broker uses it. */
export const encodeSetting = (name: SettingName, value: unknown): unknown =>
  Schema.encodeUnknownSync(settingsTable[name].schema as Schema.Schema<unknown, unknown>)(value)

/** Rules between settings over those of a base, judged where both are known. */
export const settingConflicts = (
  settings: SettingOverrides,
  base: SettingOverrides = {}
): ReadonlyArray<Problem> =>
  ordered.flatMap(([least, most]) => {
    const [min, max] = [settings[least] ?? base[least], settings[most] ?? base[most]]
    return min !== undefined && max !== undefined && min > max
      ? [{ key: least, message: `${min} is more than ${most}, ${max}` }]
      : []
  })

const ordered = [
  ["keepAliveMin", "keepAliveMax"],
  ["sessionExpiryIntervalMin", "sessionExpiryIntervalMax"]
] as const

const isSettingName = (name: string): name is SettingName => Object.hasOwn(settingsTable, name)

const decodeSetting = (name: SettingName, value: unknown): Either.Either<unknown, Problem> => {
  const { ast } = settingsTable[name].schema
  return Either.mapLeft(Schema.decodeUnknownEither(Schema.make(ast))(value), () => ({
    key: name,
    message: valueProblem(ast, value)
  }))
}

const unknownSetting = (name: string): Either.Either<never, Problem> =>
  Either.left({
    key: name,
    message: `unknown setting; ${suggest(name, settingNames, "see the manual for the names")}`
  })
