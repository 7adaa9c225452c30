/**
 * The listeners of a running broker: those of a later configuration are opened, those that it does not have
 * are closed, those that are the same are not touched. Clients stay, whatever becomes of their listener.
 *
 * A listener is known by everything that its section says. One that has changed is opened anew: beside the
 * old one where it has another port or path, else in the moment after that is closed. What is opened refuses
 * connections until the configuration that it is of is in force, so that nobody gets in by it and by the old
 * rules.
 */

import type * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { Broker } from "../Broker.ts"
import type { Config } from "../config/Config.ts"
import type { Resolved } from "../config/Resolution.ts"
import type { ListenError, Listener, Listening } from "../transport/Transport.ts"
import { type FileUnreadable, listenerOf } from "./listeners.ts"
import { buildIn, type Prepared } from "./Replaceable.ts"

/** Why a listener cannot be opened. */
export type ListenerError = ListenError | FileUnreadable

export interface ListenerSet {
  /** In the order of the configuration. */
  readonly listening: () => ReadonlyArray<Listening>
  readonly prepare: (next: Resolved) => Effect.Effect<Prepared, ListenerError, FileSystem.FileSystem>
}

interface Parts {
  readonly listen: Broker["Type"]["listen"]
  /** Those in force. */
  readonly limits: () => Config["limits"]
}

interface Wanted {
  readonly name: string
  readonly listener: Config["listeners"][string]
  /** Everything that its section says. */
  readonly signature: string
  /** The port or path that only one can have; undefined where any free port will do. */
  readonly place: string | undefined
}

interface Open extends Wanted {
  readonly scope: Scope.CloseableScope
  readonly listening: Listening
  /** Connections are taken. */
  isInForce: boolean
}

type Opening = Effect.Effect<Open, ListenerError, FileSystem.FileSystem>

export const makeListenerSet = (
  first: Resolved,
  parts: Parts
): Effect.Effect<ListenerSet, ListenerError, FileSystem.FileSystem | Scope.Scope> =>
  Effect.gen(function* () {
    const parent = yield* Effect.scope
    let current: ReadonlyMap<string, Open> = new Map()
    const open = (wanted: Wanted): Opening => openIn(parent, wanted, parts)
    const replaceBy = (opens: ReadonlyArray<Open>): Effect.Effect<void> =>
      Effect.suspend(() => {
        const left = [...current.values()].filter((old) => !opens.includes(old))
        for (const each of opens) each.isInForce = true
        current = new Map(opens.map((each) => [each.name, each]))
        return Effect.forEach(left, close, { discard: true })
      })
    const prepare = (next: Resolved) =>
      Effect.map(prepared(wantedOf(next), current, open), ({ discard, opens }) => ({
        commit: replaceBy(opens),
        discard: Effect.flatMap(discard, (reopened) =>
          Effect.sync(() => {
            current = new Map([...current].map(([name, old]) => [name, reopened.get(name) ?? old]))
          })
        )
      }))
    const { commit } = yield* prepare(first)
    yield* commit
    return { listening: () => [...current.values()].map(({ listening }) => listening), prepare }
  })

const wantedOf = ({ config, entries }: Resolved): ReadonlyArray<Wanted> => {
  const said = Map.groupBy(entries, ([key]) => key.split(".").slice(0, 2).join("."))
  return Object.entries(config.listeners)
    .filter(([, { enabled }]) => enabled)
    .map(([name, listener]) => ({
      name,
      listener,
      signature: JSON.stringify(said.get(`listeners.${name}`)?.map(([key, { value }]) => [key, value])),
      place: placeOf(listener)
    }))
}

/** Two hosts may be the same interface, so the port alone decides. */
const placeOf = ({ path, port, transport }: Config["listeners"][string]): string | undefined =>
  transport === "unix" ? `path ${path}` : port === 0 ? undefined : `port ${port}`

interface Next {
  /** The listeners to come, in their order: those that stay, and new ones that wait to be in force. */
  readonly opens: ReadonlyArray<Open>
  /** Closes the new ones, and opens again those that had to make room: these are given back by name. */
  readonly discard: Effect.Effect<ReadonlyMap<string, Open>>
}

const prepared = (
  wanted: ReadonlyArray<Wanted>,
  current: ReadonlyMap<string, Open>,
  open: (wanted: Wanted) => Opening
): Effect.Effect<Next, ListenerError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const files = yield* Effect.context<FileSystem.FileSystem>()
    const staying = new Map(wanted.flatMap((next) => stayed(next, current.get(next.name))))
    const leaving = [...current.values()].filter(({ name }) => !staying.has(name))
    const opened = new Map<string, Open>()
    const closed: Array<Open> = []
    const discard = Effect.gen(function* () {
      yield* Effect.forEach(opened.values(), close, { discard: true })
      const back = yield* Effect.forEach(closed, (old) => Effect.option(reopened(old, open)))
      return new Map(
        back.flatMap((found) => (found._tag === "Some" ? [[found.value.name, found.value]] : []))
      )
    }).pipe(Effect.provide(files))
    const openAll = Effect.gen(function* () {
      const fresh = wanted.filter(({ name }) => !staying.has(name))
      const taken = new Set(leaving.map(({ place }) => place))
      const isFree = ({ place }: Wanted) => place === undefined || !taken.has(place)
      for (const next of fresh.filter(isFree)) opened.set(next.name, yield* open(next))
      const late = fresh.filter((next) => !isFree(next))
      for (const old of leaving.filter(({ place }) => late.some((next) => next.place === place))) {
        closed.push(old)
        yield* close(old)
      }
      for (const next of late) opened.set(next.name, yield* open(next))
    })
    yield* Effect.onError(openAll, () => discard)
    return { opens: wanted.flatMap(({ name }) => staying.get(name) ?? opened.get(name) ?? []), discard }
  })

const stayed = (
  { name, signature }: Wanted,
  old: Open | undefined
): ReadonlyArray<readonly [string, Open]> =>
  old !== undefined && old.signature === signature ? [[name, old]] : []

const close = ({ scope }: Open): Effect.Effect<void> => Scope.close(scope, Exit.void)

/** Its port was free a moment ago, so this fails for reasons that nobody here can mend: the log says so. */
const reopened = (old: Open, open: (wanted: Wanted) => Opening): Opening =>
  open(old).pipe(
    Effect.tap((again) =>
      Effect.sync(() => {
        again.isInForce = true
      })
    ),
    Effect.tapError((error) => Effect.logError(`listener ${old.name} is closed: ${error.message}`))
  )

const openIn = (parent: Scope.Scope, wanted: Wanted, { limits, listen }: Parts): Opening =>
  Effect.gen(function* () {
    const gate = { isInForce: false }
    const { scope, value } = yield* buildIn(
      parent,
      Effect.flatMap(listenerOf({ ...wanted, limits }), (listener) => listen(gated(listener, gate)))
    )
    // Where any port would do, it is the one that was found.
    const place = wanted.place ?? `port ${value.port}`
    return Object.assign(gate, wanted, { scope, listening: value, place })
  })

const gated = (inner: Listener, gate: { readonly isInForce: boolean }): Listener => ({
  listen: (acceptor) => inner.listen((wire) => (gate.isInForce ? acceptor(wire) : undefined))
})
