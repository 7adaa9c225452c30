/**
 * One setting of a tenant: what it means, what it allows, its default, and when a change of it is felt.
 *
 * The schema reads a value as a person writes it ("1MB", "never") and carries the documentation that the
 * loader of the configuration, the printer and the tables of the manual read.
 */

import * as Schema from "effect/Schema"
import { describe } from "../../values/Key.ts"

/**
 * When a change is felt. `live`: at once, also by clients that are connected. `next connect`: CONNACK has
 * announced the old value to those who are connected, or CONNECT was judged by it, so theirs stays.
 */
export type Applies = "live" | "next connect"

export type SettingValue = number | boolean | string

interface SettingFacts<A> {
  /** As the broker uses it. */
  readonly default: A
  readonly meaning: string
  /** What a number counts; undefined for what is no number. */
  readonly unit?: string
  readonly applies: Applies
  /** What stands for the same in Apache BifroMQ: settings, and resource types. */
  readonly bifromq?: ReadonlyArray<string>
}

export interface Setting<A extends SettingValue, I> extends SettingFacts<A> {
  readonly schema: Schema.Schema<A, I>
  readonly bifromq: ReadonlyArray<string>
}

/** A setting of that kind of value. */
export const setting = <A extends SettingValue, I>(
  kind: Schema.Schema<A, I>,
  facts: SettingFacts<NoInfer<A>>
): Setting<A, I> => ({
  bifromq: [],
  ...facts,
  schema: describe(kind, facts.meaning, Schema.encodeSync(kind)(facts.default) as NoInfer<I>)
})

/** The largest count, rate and size that a setting can say. */
export const countMax = 1_000_000_000
export const sizeMax = 1024 ** 4
