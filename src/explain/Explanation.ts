/**
 * An answer to "may this client do that, and why": the steps that a broker would take, each with what was
 * found, from live state. As data for programs, and as text for people.
 */

export type ExplainedAction = "connect" | "publish" | "subscribe" | "receive"

export interface Question {
  readonly tenant: string
  readonly clientId: string
  readonly action: ExplainedAction
  /** The topic, or for a subscription its filter; "" for `connect`. */
  readonly topic: string
  readonly qos: 0 | 1 | 2
  readonly retain: boolean
}

/** `yes` lets the client go on, `no` ends it, `note` is worth knowing, `unknown` cannot be told from here. */
export type Finding = "yes" | "no" | "note" | "unknown"

export interface Step {
  readonly step: string
  readonly finding: Finding
  /** One sentence. */
  readonly detail: string
}

export const say = (step: string, finding: Finding, detail: string): Step => ({ step, finding, detail })

/** An instant in milliseconds since the epoch, as it is told. */
export const instant = (ms: number): string => new Date(ms).toISOString()

export interface Explanation {
  readonly question: Question
  /** No if one step says no; else unknown if one cannot tell. */
  readonly verdict: "yes" | "no" | "unknown"
  readonly steps: ReadonlyArray<Step>
}

export const explanationOf = (question: Question, steps: ReadonlyArray<Step>): Explanation => {
  const has = (finding: Finding) => steps.some((step) => step.finding === finding)
  return { question, verdict: has("no") ? "no" : has("unknown") ? "unknown" : "yes", steps }
}

const signs: Readonly<Record<Finding, string>> = { yes: "ok", no: "NO", note: "--", unknown: "??" }

export const explanationText = ({ question, steps, verdict }: Explanation): string => {
  const width = Math.max(...steps.map(({ step }) => step.length))
  const lines = steps.map(
    ({ detail, finding, step }) => `  ${signs[finding]}  ${step.padEnd(width)}  ${detail}`
  )
  return [`${questionText(question)}: ${verdict}`, ...lines].join("\n")
}

const questionText = ({ action, clientId, qos, retain, tenant, topic }: Question): string => {
  const subject = `client ${clientId} of tenant ${tenant}`
  switch (action) {
    case "connect":
      return `May ${subject} connect?`
    case "publish":
      return `May ${subject} publish to ${topic} (QoS ${qos}${retain ? ", retained" : ""})?`
    case "subscribe":
      return `May ${subject} subscribe to ${topic} (QoS ${qos})?`
    case "receive":
      return `Does ${subject} receive what is published to ${topic}?`
  }
}
