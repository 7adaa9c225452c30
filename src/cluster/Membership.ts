/**
 * Membership: which nodes there are, and what each is ready for.
 *
 * A node's incarnation is new each time it starts, so that what an earlier life of it still has on its way
 * can be told from what it sends now. Its index is never another node's; frames carry it instead of a name.
 *
 * The embedded layer knows one member, this process. A `MemberList` holds several that share a process.
 */

import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"

/** What is between the nodes does not answer. Who asked decides: a broker that starts gives up. */
export class ClusterUnavailable extends Data.TaggedError("ClusterUnavailable")<{
  readonly reason: string
}> {
  override get message(): string {
    return this.reason
  }
}

/** `joining`: takes no clients yet. `draining`: takes none any more. */
export type MemberState = "joining" | "up" | "draining"

export interface NodeIdentity {
  readonly id: string
  /** 0 to 65535. */
  readonly index: number
  /** Larger each time the node starts. */
  readonly incarnation: number
}

export interface Member extends NodeIdentity {
  readonly state: MemberState
}

export type MemberEvent =
  | { readonly _tag: "Up"; readonly member: Member }
  | { readonly _tag: "Changed"; readonly member: Member }
  | { readonly _tag: "Down"; readonly member: Member }

export class Membership extends Context.Tag("heddle/Membership")<
  Membership,
  {
    readonly self: NodeIdentity
    /** By id, this node among them. */
    readonly members: () => ReadonlyMap<string, Member>
    /** Begins with one `Up` for each member that there is. */
    readonly changes: Stream.Stream<MemberEvent>
    /** What this node is ready for from now on. It begins as `joining`. */
    readonly setState: (state: MemberState) => Effect.Effect<void, ClusterUnavailable>
  }
>() {
  /** This process is the only member. */
  static readonly layer: Layer.Layer<Membership> = Layer.scoped(
    Membership,
    Effect.flatMap(
      Effect.suspend(() => MemberList.make),
      (list) => list.join("local")
    )
  )
}

type Members = ReadonlyMap<string, Member>

const nobody: Members = new Map()

/** The members that share this process. */
export class MemberList {
  private joined = 0

  private constructor(
    private readonly latest: SubscriptionRef.SubscriptionRef<Members>,
    private current: Members = nobody
  ) {}

  static readonly make: Effect.Effect<MemberList> = Effect.map(
    SubscriptionRef.make(nobody),
    (latest) => new MemberList(latest)
  )

  /** A member until the scope ends. */
  join(id: string): Effect.Effect<Membership["Type"], never, Scope.Scope> {
    return Effect.gen(this, function* () {
      const self: NodeIdentity = { id, index: this.joined++, incarnation: yield* Clock.currentTimeMillis }
      yield* Effect.acquireRelease(this.put({ ...self, state: "joining" }), () => this.remove(id))
      return {
        self,
        members: () => this.current,
        changes: eventsOf(this.latest.changes),
        setState: (state) => this.put({ ...self, state })
      }
    })
  }

  private put(member: Member): Effect.Effect<void> {
    return this.update((members) => members.set(member.id, member))
  }

  private remove(id: string): Effect.Effect<void> {
    return this.update((members) => members.delete(id))
  }

  private update(change: (members: Map<string, Member>) => void): Effect.Effect<void> {
    return SubscriptionRef.update(this.latest, (before) => {
      const members = new Map(before)
      change(members)
      this.current = members
      return members
    })
  }
}

const eventsOf = (states: Stream.Stream<Members>): Stream.Stream<MemberEvent> =>
  states.pipe(
    Stream.mapAccum(nobody, (before, after) => [after, difference(before, after)]),
    Stream.mapConcat((events) => events)
  )

const difference = (before: Members, after: Members): ReadonlyArray<MemberEvent> => {
  const events: Array<MemberEvent> = []
  for (const member of before.values()) if (!after.has(member.id)) events.push({ _tag: "Down", member })
  for (const member of after.values()) {
    const known = before.get(member.id)
    if (known === undefined) events.push({ _tag: "Up", member })
    else if (known.state !== member.state) events.push({ _tag: "Changed", member })
  }
  return events
}
