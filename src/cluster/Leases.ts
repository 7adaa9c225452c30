/**
 * Leases: who is to do what only one node may do, such as writing a cell.
 *
 * A lease says who should try, not who is safe: a holder that is taken for dead, and is not, may act a moment
 * longer. What must not happen twice is guarded where it happens, by the journal.
 *
 * The embedded layer keeps the leases in this process; several nodes of one process share a `LeaseTable`.
 */

import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { type ClusterUnavailable, Membership } from "./Membership.ts"

/** Somebody else has it. A broker that finds its cell held does not start. */
export class LeaseHeld extends Data.TaggedError("LeaseHeld")<{
  readonly key: string
  /** The id of the node that has it. */
  readonly holder: string
}> {
  override get message(): string {
    return `${this.key} is held by node ${this.holder}`
  }
}

export interface Lease {
  readonly key: string
  /** Larger with each holder of the key. */
  readonly token: number
  /** Completes when it has been taken away. */
  readonly lost: Effect.Effect<void>
}

export class Leases extends Context.Tag("heddle/Leases")<
  Leases,
  {
    /** Takes a lease that nobody has, until the scope ends. */
    readonly acquire: (key: string) => Effect.Effect<Lease, LeaseHeld | ClusterUnavailable, Scope.Scope>
    /** Waits for it, behind those who wait already. */
    readonly acquireWhenFree: (key: string) => Effect.Effect<Lease, ClusterUnavailable, Scope.Scope>
    /** The id of the node that has it; undefined when nobody has. */
    readonly holder: (key: string) => Effect.Effect<string | undefined, ClusterUnavailable>
    /** Takes it from a node that is dead. Nothing happens when another has it by now. */
    readonly depose: (key: string, dead: string) => Effect.Effect<void, ClusterUnavailable>
  }
>() {
  /** Leases among those who use this layer. */
  static readonly layer: Layer.Layer<Leases, never, Membership> = Layer.effect(
    Leases,
    Effect.map(Membership, ({ self }) => new LeaseTable().of(self.id))
  )
}

interface Claim extends Lease {
  readonly node: string
  readonly granted: Deferred.Deferred<void>
  readonly taken: Deferred.Deferred<void>
}

/** The leases of one process. */
export class LeaseTable {
  /** The first has the lease, the others wait for it. */
  private readonly claims = new Map<string, Array<Claim>>()
  private tokens = 0

  /** As the node sees them. */
  of(node: string): Leases["Type"] {
    return {
      acquire: (key) => Effect.suspend(() => this.acquire(key, node)),
      acquireWhenFree: (key) => Effect.suspend(() => this.claim(key, node)),
      holder: (key) => Effect.sync(() => this.holder(key)?.node),
      depose: (key, dead) => Effect.sync(() => this.depose(key, dead))
    }
  }

  private holder(key: string): Claim | undefined {
    return this.claims.get(key)?.[0]
  }

  private acquire(key: string, node: string): Effect.Effect<Lease, LeaseHeld, Scope.Scope> {
    const holder = this.holder(key)
    return holder === undefined ? this.claim(key, node) : new LeaseHeld({ key, holder: holder.node })
  }

  private claim(key: string, node: string): Effect.Effect<Lease, never, Scope.Scope> {
    return Effect.acquireRelease(
      Effect.sync(() => this.enter(key, node)),
      (claim) => Effect.sync(() => this.leave(claim))
    ).pipe(
      Effect.tap((claim) =>
        // Who gives up waiting leaves the line at once, however long its scope lives.
        Effect.onInterrupt(Deferred.await(claim.granted), () => Effect.sync(() => this.leave(claim)))
      )
    )
  }

  private enter(key: string, node: string): Claim {
    const taken = Deferred.unsafeMake<void>(FiberId.none)
    const granted = Deferred.unsafeMake<void>(FiberId.none)
    const claim: Claim = { key, node, token: ++this.tokens, granted, taken, lost: Deferred.await(taken) }
    const line = this.claims.get(key)
    if (line === undefined) {
      this.claims.set(key, [claim])
      complete(granted)
    } else line.push(claim)
    return claim
  }

  private leave(claim: Claim): void {
    const line = this.claims.get(claim.key)
    const place = line?.indexOf(claim) ?? -1
    if (line === undefined || place === -1) return
    line.splice(place, 1)
    const [next] = line
    if (next === undefined) this.claims.delete(claim.key)
    else if (place === 0) complete(next.granted)
  }

  private depose(key: string, dead: string): void {
    const holder = this.holder(key)
    if (holder?.node !== dead) return
    this.leave(holder)
    complete(holder.taken)
  }
}

const complete = (deferred: Deferred.Deferred<void>): void => Deferred.unsafeDone(deferred, Effect.void)
