/**
 * An actor: private state behind a bounded mailbox, stepped in synchronous turns by the dispatcher.
 *
 * Senders `tell` (refused when the mailbox is full; the sender decides what that means) or `signal` (never
 * refused: for messages that something else bounds). What suspends - authentication, a store, a policy - runs
 * as a child fiber whose exit comes back as a message. A defect, in a turn or in making that message, stops
 * the actor, interrupts its children, drops its mail and tells its parent, which decides what follows.
 */

import type * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type { RunQueue, Turn } from "./Dispatcher.ts"
import { Mailbox, type MailboxLimits } from "./Mailbox.ts"

/** What an actor does. One object implements it, usually the class that holds the actor's state. */
export interface Behaviour<M> {
  /** Takes mail until there is none or `budget` is spent, performs the outputs, returns the units spent. */
  readonly turn: (mail: Mailbox<M>, budget: number) => number
  /** The behaviour threw: a bug. The actor has stopped already. */
  readonly onDefect: (defect: unknown) => void
  /** The actor stops with this message unread: for messages that carry something to be given back. */
  readonly onDropped?: (message: M) => void
}

/** Starts a fiber on the broker's runtime. */
export type ForkChild = <A, E>(effect: Effect.Effect<A, E>) => Fiber.RuntimeFiber<A, E>

export interface ActorOptions<M> {
  readonly runQueue: RunQueue
  readonly limits: MailboxLimits<M>
  readonly behaviour: Behaviour<M>
  readonly fork: ForkChild
}

export class Actor<M> implements Turn {
  private readonly mail: Mailbox<M>
  private readonly runQueue: RunQueue
  private readonly behaviour: Behaviour<M>
  private readonly fork: ForkChild
  /** Created with the first child: most actors never have one. */
  private children: Set<Fiber.RuntimeFiber<unknown, unknown>> | undefined
  private scheduled = false
  private ended = false

  constructor(options: ActorOptions<M>) {
    this.mail = new Mailbox(options.limits)
    this.runQueue = options.runQueue
    this.behaviour = options.behaviour
    this.fork = options.fork
  }

  get stopped(): boolean {
    return this.ended
  }

  get mailLength(): number {
    return this.mail.length
  }

  get mailBytes(): number {
    return this.mail.bytes
  }

  staysReady(): boolean {
    this.scheduled = this.mail.length > 0
    return this.scheduled
  }

  /** False when the mailbox is full or the actor has stopped: the message was not taken. */
  tell(message: M): boolean {
    if (this.ended || !this.mail.offer(message)) return false
    this.schedule()
    return true
  }

  /** Takes the message whatever the mailbox holds; a stopped actor ignores it. */
  signal(message: M): void {
    if (this.ended) return
    this.mail.admit(message)
    this.schedule()
  }

  runTurn(budget: number): number {
    if (this.ended) return 0
    try {
      return this.behaviour.turn(this.mail, budget)
    } catch (defect) {
      this.fail(defect)
      return 1
    }
  }

  /** Runs `effect` as a child; `onExit` makes the message that carries its result back. */
  spawn<A, E>(effect: Effect.Effect<A, E>, onExit: (exit: Exit.Exit<A, E>) => M): void {
    if (this.ended) return
    this.children ??= new Set()
    const { children } = this
    const fiber = this.fork(effect)
    // It ran up to its first suspension inside `fork`: it may be done by now, or have stopped this actor.
    if (this.ended) fiber.unsafeInterruptAsFork(fiber.id())
    else children.add(fiber)
    fiber.addObserver((exit) => {
      children.delete(fiber)
      if (this.ended) return
      try {
        this.signal(onExit(exit))
      } catch (defect) {
        this.fail(defect)
      }
    })
  }

  /** Stops at once: no further turn, mail dropped, children interrupted. For the parent and for itself. */
  stop(): void {
    if (this.ended) return
    this.ended = true
    this.dropMail()
    if (this.children === undefined) return
    for (const fiber of this.children) fiber.unsafeInterruptAsFork(fiber.id())
    this.children = undefined
  }

  private dropMail(): void {
    const { behaviour, mail } = this
    for (let message = mail.take(); message !== undefined; message = mail.take())
      behaviour.onDropped?.(message)
  }

  private fail(defect: unknown): void {
    this.stop()
    this.behaviour.onDefect(defect)
  }

  private schedule(): void {
    if (this.scheduled) return
    this.scheduled = true
    this.runQueue.schedule(this)
  }
}
