/**
 * What MQTT and our promises say must, may and must not happen, as far as clients can tell.
 *
 * A step is told here when the broker has taken it, a crash when it has happened. Where a crash leaves open
 * what the broker remembers - a change that nobody was told of yet - both are allowed, until something shows
 * which one it was.
 */

import { Fact } from "./Fact.ts"
import { Copies, type Copy, give, isShared, type Message, newCopy } from "./Messages.ts"
import { type ArmedWill, endOf, noSession, ReferenceSession, type Terms } from "./ReferenceSession.ts"
import { type ClientId, clientIds, type Filter, type Qos, willTopic } from "./Step.ts"

/** A message, and whether it comes to the broker for the first time. */
export interface Routing {
  readonly isAgain: boolean
  readonly isCertain: boolean
}

export class Reference {
  readonly violations: Array<string> = []
  readonly messages: Array<Message> = []
  /** Those that the broker has had since the last crash. */
  private readonly routed = new Set<Message>()
  /** Those to be retained that it has had at all. */
  private readonly known = new Set<Message>()
  private readonly terms = new Map<ClientId, Fact<Terms>>()
  /** Wills that have gone out at least once. */
  private readonly fired = new Set<number>()
  /** Those among them that a crash must not lose: it leaves either the will or all of its copies. */
  private readonly promised = new Set<number>()
  /** Of the one shared group. */
  private readonly groupCopies = new Copies()
  /** Counts what was routed. */
  private now = 0
  private readonly retained = new Map<string, Fact<number>>()

  constructor(private nowMs: number) {
    for (const clientId of clientIds) this.terms.set(clientId, new Fact(noSession))
  }

  message(publisher: string, topic: string, qos: Qos): Message {
    const message = { number: this.messages.length + 1, publisher, topic, qos, isSafe: false }
    this.messages.push(message)
    return message
  }

  violate(what: string): void {
    this.violations.push(what)
  }

  // Sessions

  /** The broker has taken CONNECT: what it holds of the client is known, from CONNACK or by Clean Start. */
  connected(
    client: ClientId,
    options: { readonly isClean: boolean; readonly expiry: number; readonly will: ArmedWill | undefined },
    isPresent: boolean
  ): void {
    const { expiry, isClean, will } = options
    const fact = this.factOf(client)
    // Taken over, a session that was to end with its connection has ended. [MQTT-3.1.4-3]
    const ended: Array<readonly [ArmedWill, boolean]> = []
    this.step(
      fact,
      (terms) =>
        terms.isConnected && terms.expiry === 0 ? leave(terms, this.nowMs) : { terms, fired: undefined },
      ended
    )
    for (const [will, isCertain] of ended) this.fire(will, isCertain)
    const candidates = fact.candidates
    const sessions = candidates.flatMap((each) =>
      each.session === undefined || isClean ? [] : [each.session]
    )
    if (isPresent && sessions.length === 0) this.violate(`${client}: a session is present that should not be`)
    if (!isPresent && !isClean && sessions.length === candidates.length)
      this.violate(`${client}: no session is present`)
    const session = isPresent ? mergeOf(client, sessions) : new ReferenceSession(client)
    const previous = candidates.filter((each) => isClean || !isPresent || each.session !== undefined)
    const isCertain = previous.length === 1
    for (const each of previous) {
      const mayFire = !isPresent || (each.isConnected && each.will?.delay === 0)
      // A session that ends has no subscriptions any more when its will goes out.
      if (!isPresent) fact.set(noSession)
      if (!isPresent && each.session !== undefined) this.memberGone()
      if (each.will !== undefined && mayFire) this.fire(each.will, isCertain)
    }
    const forever = Number.POSITIVE_INFINITY
    fact.set({ session, expiry, isConnected: true, endsAtMs: forever, will, willAtMs: forever })
  }

  /** CONNACK came to a clean start: nothing brings back what the client had before. [MQTT-3.1.2-4] */
  greeted(client: ClientId): void {
    const fact = this.factOf(client)
    const session = fact.known?.value.session
    fact.ruleOut((terms) => terms.session !== undefined && terms.session !== session)
  }

  /** The connection ended. */
  lost(client: ClientId, withWill: boolean): void {
    const fact = this.factOf(client)
    const terms = fact.known?.value
    if (terms?.isConnected !== true) return
    const fired: Array<readonly [ArmedWill, boolean]> = []
    const step = (each: Terms) => leave(withWill ? each : { ...each, will: undefined }, this.nowMs)
    this.step(fact, step, fired)
    for (const [will, isCertain] of fired) this.fire(will, isCertain)
  }

  isConnected(client: ClientId): boolean {
    return this.factOf(client).known?.value.isConnected === true
  }

  /** Whatever survives, the broker will know that the client was connected. */
  isSurelyConnected(client: ClientId): boolean {
    return this.factOf(client).survivors.every((terms) => terms.isConnected)
  }

  mayHaveSession(client: ClientId): boolean {
    return this.factOf(client).candidates.some(({ session }) => session !== undefined)
  }

  subscribed(client: ClientId, filter: Filter, qos: Qos | undefined): void {
    const session = this.factOf(client).known?.value.session
    if (isShared(filter) && qos === undefined) this.memberGone()
    session?.subscribe(filter, qos)
  }

  /** SUBACK or UNSUBACK came: that, and everything before it, is on record. */
  granted(client: ClientId, filter: Filter): void {
    const fact = this.factOf(client)
    const terms = fact.known?.value
    if (terms === undefined || terms.expiry === 0) return
    fact.sure()
    terms.session?.subscriptions.get(filter)?.sure()
  }

  advance(nowMs: number): void {
    this.nowMs = nowMs
    const fired: Array<readonly [ArmedWill, boolean]> = []
    for (const fact of this.terms.values()) this.step(fact, (terms) => pass(terms, nowMs), fired)
    for (const [will, isCertain] of fired) this.fire(will, isCertain)
  }

  // Messages

  /** The broker has got a message. */
  route(message: Message, { isAgain, isCertain }: Routing): void {
    const isWill = message.topic === willTopic
    const isOnce = isAgain && (message.qos === 2 || isWill)
    // [MQTT-4.3.3-10]
    if (isOnce && !isWill && this.routed.has(message)) return
    this.routed.add(message)
    this.now++
    let isGroupSure = true
    let hasMember = false
    const group = newCopy()
    for (const clientId of clientIds) {
      const candidates = this.factOf(clientId).candidates
      const sessions = new Set(candidates.map(({ session }) => session))
      for (const session of sessions) {
        if (session === undefined) continue
        const isSure = isCertain && sessions.size === 1
        this.offer(message, session, { isSure, isOnce })
        const member = session.match(message.topic, true)
        if (!member.isPossible) continue
        hasMember ||= member.isSure && isSure
        isGroupSure &&= candidates.every(({ expiry }) => expiry > 0)
        for (const qos of member.qos) group.qos.add(least(message.qos, qos))
      }
    }
    if (group.qos.size === 0) return
    const copy = this.groupCopies.entry(message.number)
    const isOwed = hasMember && isGroupSure && !group.qos.has(0)
    for (const qos of group.qos) copy.qos.add(qos)
    copy.isOwed ||= isOwed && !isAgain
    give(copy, this.now)
  }

  /** PUBACK or PUBREC came. */
  acknowledged(message: Message): void {
    message.isSafe = true
    const fact = this.retained.get(message.topic)
    if (fact?.known !== undefined && Math.abs(fact.known.value) === message.number) fact.sure()
  }

  /** Before it is routed. */
  retain(message: Message, isEmpty: boolean): void {
    const { number, qos, topic } = message
    // A negative number removes it.
    const value = isEmpty ? -number : number
    let fact = this.retained.get(topic)
    if (fact === undefined) {
      fact = new Fact(0)
      this.retained.set(topic, fact)
    }
    if (qos < 2 || !this.known.has(message)) fact.set(value)
    else if (!this.routed.has(message)) fact.allow(value)
    this.known.add(message)
  }

  /** The client's application has got a message. */
  received(client: ClientId, number: number, qos: Qos): void {
    const message = this.messages[number - 1]
    const session = this.factOf(client).known?.value.session
    if (message === undefined || session === undefined)
      return this.violate(`${client}: ${number} from nowhere`)
    const isGroup = message.topic.startsWith("g/")
    const copies = isGroup ? this.groupCopies : session.copies
    const copy = copies.get(number)
    const what = `${client}: message ${number} at QoS ${qos}`
    if (copy === undefined) return this.violate(`${what} is not for it`)
    // Another member of the group may have subscribed otherwise.
    if (!copy.qos.has(qos) && !isGroup)
      this.violate(`${what} should come at QoS ${[...copy.qos].join(" or ")}`)
    if (copy.done >= copy.given) this.violate(`${what} comes again although it was acknowledged`)
    copy.seen++
    if (qos === 2 && ++copy.seenAtQos2 > 1) this.violate(`${what} is delivered ${copy.seenAtQos2} times`)
    // Nothing is said of the order among the members of a group.
    if (copy.seen === 1 && !isGroup && !copies.seeInOrder(copy, message, qos))
      this.violate(`${what} is out of order`)
  }

  /** The broker has taken the client's PUBACK or PUBCOMP. */
  done(client: ClientId, number: number): void {
    const message = this.messages[number - 1]
    if (message?.topic.startsWith("g/") === true) return
    const copy = this.factOf(client).known?.value.session?.copies.get(number)
    if (copy !== undefined) copy.done++
  }

  // Durability

  /** Nothing waits to be committed, but what may wait; or nothing at all. */
  committed(isAll: boolean): void {
    for (const fact of this.terms.values()) {
      fact.sure()
      fact.known?.value.session?.committed()
    }
    for (const fact of this.retained.values()) fact.sure()
    for (const message of this.routed) {
      if (isAll || message.topic === willTopic) message.isSafe = true
      this.promised.delete(message.number)
    }
  }

  crash(nowMs: number): void {
    this.nowMs = nowMs
    const allCopies = [this.groupCopies]
    for (const fact of this.terms.values()) {
      for (const session of new Set(fact.survivors.map((terms) => terms.session))) {
        if (session === undefined) continue
        session.crash()
        allCopies.push(session.copies)
        // Its client has begun anew, and the broker does not know: what it had seen it has forgotten.
        if (fact.candidates.every((terms) => terms.session !== session)) session.copies.forget()
      }
    }
    for (const copies of allCopies) for (const [number, copy] of copies.byMessage) this.doubt(number, copy)
    for (const fact of this.retained.values()) fact.crash()
    this.routed.clear()
    const promised = new Set(this.promised)
    const fired: Array<readonly [ArmedWill, boolean]> = []
    for (const fact of this.terms.values()) {
      fact.crash()
      const step = (terms: Terms) => (terms.isConnected ? leave(terms, nowMs) : pass(terms, nowMs))
      this.step(fact, step, fired)
    }
    for (const [will, isCertain] of fired) this.fire(will, isCertain || promised.has(will.message))
    for (const message of promised) {
      if (!fired.some(([will]) => will.message === message)) this.fire({ message, delay: 0 }, true)
    }
  }

  /** At the end, when every client has come and taken all that waited. */
  finish(): void {
    for (const clientId of clientIds) {
      const session = this.factOf(clientId).known?.value.session
      if (session !== undefined) this.missing(clientId, session.copies)
    }
    this.missing("the group", this.groupCopies)
  }

  /** What a new subscriber is given of a topic's retained message; 0 for none. */
  checkRetained(topic: string, number: number): void {
    const fact = this.retained.get(topic)
    const allowed = (fact?.candidates ?? [0]).map((value) => Math.max(0, value))
    if (!allowed.includes(number))
      this.violate(`${topic} has retained ${number || "nothing"}, not ${allowed.join(" or ")}`)
  }

  private factOf(client: ClientId): Fact<Terms> {
    const fact = this.terms.get(client)
    if (fact === undefined) throw new Error(`no client ${client}`)
    return fact
  }

  private step(
    fact: Fact<Terms>,
    step: (terms: Terms) => Left,
    fired: Array<readonly [ArmedWill, boolean]>
  ): void {
    const isCertain = fact.known !== undefined
    const { survivors } = fact
    fact.change((terms) => {
      const left = step(terms)
      const will = left.fired
      if (will !== undefined) {
        fired.push([will, isCertain])
        if (survivors.every((each) => each.will?.message === will.message)) this.promised.add(will.message)
      }
      if (left.terms.session === undefined && terms.session !== undefined) this.memberGone()
      return left.terms
    })
  }

  private fire(will: ArmedWill, isCertain: boolean): void {
    const message = this.messages[will.message - 1]
    if (message === undefined) return
    const isAgain = this.fired.has(message.number)
    this.fired.add(message.number)
    this.route(message, { isAgain, isCertain })
  }

  private offer(
    message: Message,
    session: ReferenceSession,
    { isOnce, isSure }: { readonly isOnce: boolean; readonly isSure: boolean }
  ): void {
    const match = session.match(message.topic, false)
    if (!match.isPossible) return
    const copy = session.copies.entry(message.number)
    for (const qos of match.qos) copy.qos.add(least(message.qos, qos))
    const isOwed = isSure && match.isSure && !copy.qos.has(0)
    copy.isOwed = isOwed && (!isOnce || copy.wasSure)
    if (!isOnce) copy.wasSure = isOwed
    give(copy, this.now)
  }

  private doubt(number: number, copy: Copy): void {
    // The acknowledgement may not have been committed.
    copy.done = 0
    if (this.messages[number - 1]?.isSafe !== true) copy.isOwed = false
  }

  /** What a member of the group had taken may be gone with it. */
  private memberGone(): void {
    for (const copy of this.groupCopies.byMessage.values()) copy.isOwed = false
  }

  private missing(owner: string, copies: Copies): void {
    for (const [number, { isOwed, seen }] of copies.byMessage) {
      if (isOwed && seen === 0) this.violate(`${owner} never got message ${number}`)
    }
  }
}

const least = (a: Qos, b: Qos): Qos => (a < b ? a : b)

/** What becomes of terms, and the will that goes out. */
interface Left {
  readonly terms: Terms
  readonly fired: ArmedWill | undefined
}

/** A session loses its connection. */
const leave = (terms: Terms, nowMs: number): Left => {
  const { expiry, will } = terms
  if (expiry === 0) return { terms: noSession, fired: will }
  const isDue = will?.delay === 0
  return {
    terms: {
      ...terms,
      isConnected: false,
      endsAtMs: endOf(expiry, nowMs),
      will: isDue ? undefined : will,
      willAtMs: isDue || will === undefined ? Number.POSITIVE_INFINITY : nowMs + will.delay * 1000
    },
    fired: isDue ? will : undefined
  }
}

/** Time passes for a session without a connection. */
const pass = (terms: Terms, nowMs: number): Left => {
  if (terms.isConnected) return { terms, fired: undefined }
  if (terms.endsAtMs <= nowMs) return { terms: noSession, fired: terms.will }
  if (terms.willAtMs > nowMs) return { terms, fired: undefined }
  return { terms: { ...terms, will: undefined, willAtMs: Number.POSITIVE_INFINITY }, fired: terms.will }
}

/** The one session that all are, or one that may be any of them. */
const mergeOf = (client: string, sessions: ReadonlyArray<ReferenceSession>): ReferenceSession => {
  const [first, ...rest] = new Set(sessions)
  if (first === undefined || rest.length === 0) return first ?? new ReferenceSession(client)
  const merged = new ReferenceSession(client)
  for (const session of [first, ...rest]) {
    for (const [filter, fact] of session.subscriptions) {
      for (const qos of [undefined, ...fact.candidates]) merged.subscribe(filter, qos)
      merged.subscriptions.get(filter)?.crash()
    }
    for (const [number, copy] of session.copies.byMessage) merged.copies.byMessage.set(number, copy)
  }
  return merged
}
