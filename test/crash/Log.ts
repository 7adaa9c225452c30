/**
 * What the clients of a crash test saw, as they saw it: the only thing that the checker looks at. In memory;
 * instants are milliseconds since the test began.
 */

export type Qos = 0 | 1 | 2

/** A message that a publisher sent. Its identifier is its payload: publisher, lane and sequence number. */
export interface SentMessage {
  readonly id: string
  readonly publisher: string
  readonly topic: string
  readonly qos: Qos
  readonly sequence: number
  readonly sentAtMs: number
  /** PUBACK or PUBREC came. */
  acknowledgedAtMs: number | undefined
}

/** A message that an application got: QoS 2 once by its identifier, QoS 1 as often as it came. */
export interface Receipt {
  readonly id: string
  readonly topic: string
  readonly qos: Qos
  readonly isRetained: boolean
  readonly atMs: number
}

export interface SubscriberLog {
  readonly clientId: string
  /** Wildcard `#` at the end, or none. */
  readonly topicFilter: string
  readonly qos: Qos
  /** A session that ends with its connection gets what comes while it is there. */
  readonly isPersistent: boolean
  /** Members of a shared subscription get the messages among them. */
  readonly group: string | undefined
  /** The first SUBACK. */
  subscribedAtMs: number | undefined
  readonly receipts: Array<Receipt>
}

/** A will, and what its client did. */
export interface WillLog {
  readonly id: string
  readonly topic: string
  readonly qos: Qos
  readonly sinceMs: number
  /** It was on record, or its client was there for long enough that it should be. */
  isArmed: boolean
  /** What must happen: undefined while it is open, or when both may. */
  fate: "fires" | "silent" | undefined
}

interface Line {
  readonly atMs: number
  readonly round: number
  readonly client: string
  readonly text: string
}

/** What was seen to be wrong while it happened; the rest shows at the end. */
export interface Violation {
  readonly what: string
  /** Words that the lines which tell of it contain, one of them each. */
  readonly about: ReadonlyArray<string>
}

export class Log {
  round = 0
  readonly messages = new Map<string, SentMessage>()
  readonly subscribers: Array<SubscriberLog> = []
  readonly wills: Array<WillLog> = []
  readonly violations: Array<Violation> = []
  private readonly lines: Array<Line> = []

  constructor(readonly nowMs: () => number) {}

  tell(client: string, text: string): void {
    this.lines.push({ atMs: this.nowMs(), round: this.round, client, text })
  }

  violate(what: string, ...about: ReadonlyArray<string>): void {
    this.violations.push({ what: `round ${this.round}: ${what}`, about })
  }

  /** The lines that have one of the words, and what became of the broker between them. */
  about(words: ReadonlyArray<string>, limit = 40): ReadonlyArray<string> {
    const isAbout = ({ text }: Line) => words.some((word) => ` ${text} `.includes(` ${word} `))
    const found = this.lines.filter(isAbout).slice(-limit)
    const from = found[0]?.atMs ?? 0
    const to = found[found.length - 1]?.atMs ?? 0
    return this.lines
      .filter(
        (line) => found.includes(line) || (line.client === "broker" && line.atMs >= from && line.atMs <= to)
      )
      .map(({ atMs, client, round, text }) => `    ${atMs.toFixed(0)} ms, round ${round}, ${client}: ${text}`)
  }
}
