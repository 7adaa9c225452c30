/**
 * What a person sees when the broker has started: what listens where, what is kept where, who may connect, a
 * first try.
 */

import { resolve } from "node:path"
import type { Config } from "../config/ConfigSchema.ts"
import type { DurabilityLevel } from "../storage/Journal.ts"
import type { Listening } from "../transport/Transport.ts"

export interface BannerFacts {
  readonly version: string
  readonly listening: ReadonlyArray<Listening>
  /** Where sessions and messages are kept: `inMemory`, or a place. */
  readonly storage: string
  /** Where metrics are served; undefined when they are not. */
  readonly metrics?: string | undefined
  readonly authentication: Pick<Config["authentication"], "anonymous" | "methods">
}

/** The storage line of a broker without a database. */
export const inMemory = "in memory: gone when the process ends"

const survived: Readonly<Record<DurabilityLevel, string>> = {
  memory: "acknowledged messages are written behind (session.durability is memory)",
  os: "acknowledged messages survive a killed process (session.durability is os)",
  disk: "acknowledged messages survive a power cut (session.durability is disk)"
}

/** The storage line of a broker with a database in that folder. */
export const inDatabase = (path: string, durability: DurabilityLevel): string =>
  `in ${resolve(path)}; ${survived[durability]}`

type Anonymous = Config["authentication"]["anonymous"]

const admitted: Readonly<Record<Anonymous, string>> = {
  loopback: "clients on this machine; others are refused (authentication.anonymous is loopback)",
  always: "everyone who can reach it (authentication.anonymous is always)",
  never: "nobody (authentication.anonymous is never)"
}

/** Who may connect without credentials where others have some. */
const admittedWithout: Readonly<Record<Anonymous, string>> = {
  loopback: "; without credentials clients on this machine (authentication.anonymous is loopback)",
  always: "; without credentials everyone who can reach it (authentication.anonymous is always)",
  never: ""
}

const admission = ({ anonymous, methods }: BannerFacts["authentication"]): string =>
  methods.length === 0
    ? admitted[anonymous]
    : `clients that authenticate by ${methods.join(", ")}${admittedWithout[anonymous]}`

export const banner = (facts: BannerFacts): string => {
  const { authentication, listening, metrics, storage, version } = facts
  const nameWidth = Math.max(0, ...listening.map(({ name }) => name.length))
  const places = listening.map(({ name, address }) => `${name.padEnd(nameWidth)}  ${address}`)
  return [
    `Heddle ${version}`,
    ...block("listens", places.length > 0 ? places : ["nowhere"]),
    ...block("stores", [storage]),
    ...block("admits", [admission(authentication)]),
    ...block("metrics", metrics === undefined ? [] : [metrics]),
    ...block("try", authentication.anonymous === "never" ? [] : firstTry(listening))
  ].join("\n")
}

const block = (label: string, lines: ReadonlyArray<string>): ReadonlyArray<string> =>
  lines.map((line, index) => `  ${(index === 0 ? label : "").padEnd(9)}${line}`)

/** A subscriber and a publisher, in two terminals. */
const firstTry = (listening: ReadonlyArray<Listening>): ReadonlyArray<string> => {
  const tcp = listening.find(({ transport }) => transport === "tcp")
  if (tcp !== undefined) {
    return [
      `mosquitto_sub -p ${tcp.port} -t 'hello/#' -v`,
      `mosquitto_pub -p ${tcp.port} -t hello/world -m 'it works'`
    ]
  }
  const ws = listening.find(({ transport }) => transport === "ws")
  if (ws === undefined) return []
  const at = `-l ws -p ${ws.port} --path ${new URL(ws.address).pathname}`
  return [`npx mqtt sub ${at} -t 'hello/#' -v`, `npx mqtt pub ${at} -t hello/world -m 'it works'`]
}
