/**
 * What a soak run holds against the broker. Payloads say who sent them (`publisher:sequence:qos`), sequence
 * numbers of a publisher only grow, and so a receiver can tell disorder and duplicates:
 *
 * - per publisher, topic and QoS, messages come in the order of their publication [MQTT-4.6.0-5]; only one
 *   that is marked as sent again, by the broker (DUP) or by its publisher, may come after a later one;
 * - what was published and delivered at QoS 2 comes to a client once, whatever happened to its connections;
 * - what was acknowledged comes at all (`Expectations.ts`).
 *
 * Members of a shared subscription take over each other's messages: there only duplicates are judged.
 */

export interface Arrival {
  readonly topic: string
  readonly payload: string
  readonly qos: number
  readonly dup: boolean
  readonly retain: boolean
}

/** What one client has received in all its lives. */
export class Received {
  private readonly last = new Map<string, number>()
  private readonly once = new Set<string>()
  private readonly acknowledged = new Set<string>()

  constructor(
    private readonly clientId: string,
    private readonly ledger: Ledger
  ) {}

  take(arrival: Arrival): void {
    const { ledger } = this
    const { dup, payload, qos, retain, topic } = arrival
    ledger.delivered++
    const [publisher, sequence, publishedQos] = payload.split(":")
    // A will or a retained message of old times.
    if (publishedQos === undefined || retain) return
    if (qos > 0) this.acknowledged.add(payload)
    if (qos === 2) {
      if (this.once.has(payload))
        ledger.violate(`${this.clientId}: ${payload} of ${topic} came twice at QoS 2`)
      this.once.add(payload)
    }
    if (topic.startsWith("pool/")) return
    const key = `${publisher} ${topic} ${publishedQos} ${qos}`
    const number = Number(sequence)
    const last = this.last.get(key) ?? -1
    if (number <= last && !dup && !ledger.wasResent(payload)) {
      ledger.violate(`${this.clientId}: ${payload} of ${topic} came after ${last} at QoS ${qos}`)
    }
    if (number > last) this.last.set(key, number)
  }

  /** Whether a message came at QoS 1 or 2. */
  has(payload: string): boolean {
    return this.acknowledged.has(payload)
  }
}

export interface Acknowledged {
  readonly payload: string
  readonly sequence: number
}

export class Ledger {
  readonly violations: Array<string> = []
  published = 0
  delivered = 0
  connects = 0
  takeovers = 0
  drops = 0
  silences = 0
  resumes = 0
  private readonly resent = new Set<string>()
  private readonly sequences: Array<number> = []
  private readonly acknowledged: Array<Array<Acknowledged>> = []

  /** The number of a publisher's next message. */
  nextSequence(publisher: number): number {
    return this.sequences[publisher] ?? 0
  }

  takeSequence(publisher: number): number {
    const sequence = this.nextSequence(publisher)
    this.sequences[publisher] = sequence + 1
    this.published++
    return sequence
  }

  /** The broker has taken a message to the publisher's own topic upon itself. */
  acknowledge(publisher: number, message: Acknowledged): void {
    const messages = (this.acknowledged[publisher] ??= [])
    messages.push(message)
  }

  acknowledgedBy(publisher: number): ReadonlyArray<Acknowledged> {
    return this.acknowledged[publisher] ?? []
  }

  /** Lets go of everything but the counts and the violations. */
  forget(): void {
    this.resent.clear()
    this.acknowledged.length = 0
  }

  violate(what: string): void {
    // The first hundred tell enough.
    if (this.violations.length < 100) this.violations.push(what)
  }

  resend(payload: string): void {
    this.resent.add(payload)
  }

  wasResent(payload: string): boolean {
    return this.resent.has(payload)
  }
}
