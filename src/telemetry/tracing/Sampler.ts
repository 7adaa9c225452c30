/**
 * Which messages are traced: decided once, where a message comes in, before anything is made for it.
 *
 * A rule for a tenant, a client or a topic filter decides first; then the publisher's own word, where that is
 * honoured; then the ratio. Rules may be set and expire while the broker runs. Who is not sampled costs a few
 * comparisons: a ratio counts down to the next message that it takes rather than throw dice for each.
 */

import { matchesFilter, parseTopicFilter } from "../../topic/TopicFilter.ts"
import type { TraceContext } from "./TraceContext.ts"
import { TRACED_BYTES_MIN, traceContextOf } from "./userProperties.ts"

/** What is named must all hold. */
export interface SamplingSubject {
  readonly tenant?: string
  readonly clientId?: string
  /** Of the topic that is published to. */
  readonly topicFilter?: string
}

export interface SamplingRule extends SamplingSubject {
  /** From 0, none of them, to 1, all. */
  readonly ratio: number
  /** Milliseconds since the epoch; the rule is gone then. */
  readonly untilMs?: number
}

export interface SamplerOptions {
  /** Of the messages that no rule and no publisher decides. */
  readonly ratio: number
  /** Whether `traceparent` in a PUBLISH decides: sampled there, sampled here. */
  readonly honoursParent: boolean
  readonly rules: ReadonlyArray<SamplingRule>
  /** From 0 to 1, exclusive. */
  readonly random: () => number
}

/** A message before the broker, as far as it bears on the decision. */
export interface Candidate {
  readonly tenant: string
  readonly clientId: string
  readonly topic: string
  readonly forwardedProperties: Uint8Array
}

/** `true` begins a trace, a context continues that one, `false` traces nothing. */
export type SamplingDecision = boolean | TraceContext

/** Rules that may be in force: each is looked at for each message. */
export const SAMPLING_RULES_MAX = 100

export class Sampler {
  private rules: ReadonlyArray<CountedRule> = []
  private ratio: Countdown
  private honoursParent: boolean
  private readonly random: () => number

  constructor(options: SamplerOptions) {
    this.random = options.random
    this.ratio = new Countdown(options.ratio, options.random)
    this.honoursParent = options.honoursParent
    this.setRules(options.rules)
  }

  /** Nothing is ever sampled: whoever asks need not even look at the message. */
  get isOff(): boolean {
    return !this.honoursParent && this.rules.length === 0 && this.ratio.isNever
  }

  /** What is in force from now on, instead of what was. */
  configure({ honoursParent, ratio }: Pick<SamplerOptions, "ratio" | "honoursParent">): void {
    this.ratio = new Countdown(ratio, this.random)
    this.honoursParent = honoursParent
  }

  setRules(rules: ReadonlyArray<SamplingRule>): void {
    this.rules = rules
      .slice(0, SAMPLING_RULES_MAX)
      .map((rule) => ({ rule, countdown: new Countdown(rule.ratio, this.random) }))
  }

  rulesAt(nowMs: number): ReadonlyArray<SamplingRule> {
    return this.rules.map(({ rule }) => rule).filter((rule) => !isOver(rule, nowMs))
  }

  /**
   * Puts a rule before all others, instead of the one about the same, if there is one. False when there are
   * as many as there may be.
   */
  putRule(rule: SamplingRule, nowMs: number): boolean {
    const others = this.rules.filter((each) => !isOver(each.rule, nowMs) && !isAboutSame(each.rule, rule))
    if (others.length >= SAMPLING_RULES_MAX) return false
    this.rules = [{ rule, countdown: new Countdown(rule.ratio, this.random) }, ...others]
    return true
  }

  /** Takes the rule about exactly that away, or all of them; how many there were. */
  removeRules(about: SamplingSubject | undefined, nowMs: number): number {
    const before = this.rulesAt(nowMs).length
    this.rules = this.rules.filter(({ rule }) => about !== undefined && !isAboutSame(rule, about))
    return before - this.rulesAt(nowMs).length
  }

  /**
   * True for a message that is passed over without a look at it, as nearly all are: no rule could apply, its
   * properties (of so many bytes) are too short to say anything of a trace, and the ratio is for a later one.
   * Only one that is not passed over is decided upon.
   */
  passesOver(propertyBytes: number): boolean {
    if (this.rules.length > 0) return false
    if (this.honoursParent && propertyBytes >= TRACED_BYTES_MIN) return false
    return this.ratio.passesOver()
  }

  decide(candidate: Candidate, nowMs: number): SamplingDecision {
    const claimed = this.honoursParent ? traceContextOf(candidate.forwardedProperties) : undefined
    const ruled = this.rules.length > 0 ? this.ruled(candidate, nowMs) : undefined
    // Who asks for a message by a rule sees it, also where its publisher would rather not be traced.
    if (ruled !== undefined) return ruled && (claimed === undefined || { ...claimed, isSampled: true })
    if (claimed !== undefined) return claimed.isSampled && claimed
    return this.ratio.next()
  }

  /** The decision of the first rule that applies. */
  private ruled(candidate: Candidate, nowMs: number): boolean | undefined {
    let isAnyOver = false
    let decision: boolean | undefined
    for (const { countdown, rule } of this.rules) {
      if (isOver(rule, nowMs)) isAnyOver = true
      else if (decision === undefined && applies(rule, candidate)) decision = countdown.next()
    }
    if (isAnyOver) this.rules = this.rules.filter(({ rule }) => !isOver(rule, nowMs))
    return decision
  }
}

interface CountedRule {
  readonly rule: SamplingRule
  readonly countdown: Countdown
}

/** Whether topics can be matched against it. */
export const isSamplingFilter = (topicFilter: string): boolean =>
  parseTopicFilter(topicFilter)._tag === "Plain"

const isAboutSame = (one: SamplingSubject, other: SamplingSubject): boolean =>
  one.tenant === other.tenant && one.clientId === other.clientId && one.topicFilter === other.topicFilter

const isOver = ({ untilMs }: SamplingRule, nowMs: number): boolean =>
  untilMs !== undefined && untilMs <= nowMs

const applies = (rule: SamplingRule, { clientId, tenant, topic }: Candidate): boolean =>
  (rule.tenant === undefined || rule.tenant === tenant) &&
  (rule.clientId === undefined || rule.clientId === clientId) &&
  (rule.topicFilter === undefined || matchesFilter(rule.topicFilter, topic))

/**
 * Takes one of so many, at random: the gap to the next one is drawn when one has been taken, so that those in
 * between cost a decrement. (The gaps of independent draws with probability p are geometric.)
 */
class Countdown {
  private remaining: number

  constructor(
    private readonly ratio: number,
    private readonly random: () => number
  ) {
    this.remaining = this.gap()
  }

  get isNever(): boolean {
    return !(this.ratio > 0)
  }

  passesOver(): boolean {
    if (this.remaining <= 0) return false
    this.remaining--
    return true
  }

  next(): boolean {
    if (this.remaining-- > 0) return false
    this.remaining = this.gap()
    return true
  }

  /** Messages that are passed over before the next one that is taken. */
  private gap(): number {
    if (this.isNever) return Number.POSITIVE_INFINITY
    return this.ratio >= 1 ? 0 : Math.floor(Math.log(1 - this.random()) / Math.log(1 - this.ratio))
  }
}
