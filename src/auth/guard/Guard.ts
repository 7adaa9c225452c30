/**
 * The guard before an authenticator: bans, back-off after failures, flapping clients.
 *
 * An address that is banned or has to wait is refused before the authenticator is asked, so a guess costs
 * neither a hash nor a call. Loopback is not exempt: what forwards for others stands there. Failures count
 * against the address and against the user name, each by its own terms; a user on an address from which the
 * same user has got in before is known there, and pays for its own failures only. So neither a stranger who
 * guesses at its name nor a bad neighbour behind the same address locks it out.
 *
 * Who is banned is judged again once it is proved who it is: a client identifier or a user name alone is
 * anybody's claim.
 */

import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { ReasonCode } from "../../protocol/ReasonCode.ts"
import { limitKey } from "../../transport/Cidr.ts"
import {
  type Accepted,
  type AuthenticationStep,
  type Authenticator,
  type Identity,
  type Refused,
  soundStep
} from "../Authenticator.ts"
import { presentsCredentials } from "../Chain.ts"
import type { Backoff } from "./Backoff.ts"
import type { Ban, BanList } from "./BanList.ts"
import { BoundedTable, tableKey } from "./BoundedTable.ts"
import type { FlapDetector } from "./FlapDetector.ts"

export interface GuardOptions {
  readonly bans: BanList["Type"]
  readonly addresses: Backoff
  readonly users: Backoff
  readonly flapping?: { readonly detector: FlapDetector; readonly banMs: number }
  readonly nowMs: () => number
}

/** Users known on an address. */
const KNOWN_MAX = 100_000

/** Somebody who tries, by the keys of the tables. */
interface Attempt {
  readonly clientId: string
  readonly address: string
  readonly user: string | undefined
  readonly known: string
  /** Nothing was presented, so nothing was guessed. */
  readonly isGuess: boolean
}

export const guarded = (inner: Authenticator["Type"], options: GuardOptions): Authenticator["Type"] => {
  const guard = new Guard(options)
  return {
    authenticate: (credentials) => {
      const { clientId, peer, username } = credentials
      const attempt: Attempt = {
        clientId,
        ...keysOf({ peer, username, clientId }),
        isGuess: presentsCredentials(credentials) || peer.certificate !== undefined
      }
      const refusal = guard.turnedAway(attempt, peer.address)
      if (refusal !== undefined) return Effect.succeed(refusal)
      const step = inner.authenticate(credentials)
      // An answer that is there already costs no fiber a step.
      return Exit.isExit(step) && Exit.isSuccess(step)
        ? Effect.succeed(guard.judged(step.value as AuthenticationStep, attempt, true))
        : Effect.map(step, (next) => guard.judged(next, attempt, true))
    },
    reauthenticate: (identity, method, data) => {
      const attempt: Attempt = { clientId: identity.clientId, ...keysOf(identity), isGuess: true }
      return Effect.map(inner.reauthenticate(identity, method, data), (step) =>
        guard.judged(step, attempt, false)
      )
    }
  }
}

class Guard {
  private readonly known = new BoundedTable<true>(KNOWN_MAX)

  constructor(private readonly options: GuardOptions) {}

  /** Why somebody is refused before anybody is asked; undefined when it may try. */
  turnedAway(attempt: Attempt, address: string): Refused | undefined {
    const { addresses, bans, nowMs, users } = this.options
    const ban = bans.ofAddress(address)
    if (ban !== undefined) return banned(ban)
    if (this.known.get(attempt.known) !== undefined) return undefined
    const now = nowMs()
    const { user } = attempt
    const userWaitMs = user === undefined ? 0 : users.waitMs(user, now)
    return Math.max(addresses.waitMs(attempt.address, now), userWaitMs) > 0 ? tooManyFailures : undefined
  }

  /** What becomes of the authenticator's answer. */
  judged(given: AuthenticationStep, attempt: Attempt, isConnect: boolean): AuthenticationStep {
    const step = soundStep(given)
    if (step._tag === "Refused" && attempt.isGuess && isFailure(step)) this.failed(attempt)
    if (step._tag === "Accepted" && isConnect) return this.admitted(step, attempt)
    if (step._tag !== "Challenge") return step
    return {
      ...step,
      respond: (data) => Effect.map(step.respond(data), (next) => this.judged(next, attempt, isConnect))
    }
  }

  private failed({ address, known, user }: Attempt): void {
    const { addresses, nowMs, users } = this.options
    const now = nowMs()
    this.known.delete(known)
    addresses.failed(address, now)
    if (user !== undefined) users.failed(user, now)
  }

  private admitted(accepted: Accepted, { clientId, isGuess, known }: Attempt): AuthenticationStep {
    const { bans, flapping, nowMs } = this.options
    const { principal, tenant } = accepted
    const ban = bans.ofClient({ tenant, principal, clientId })
    if (ban !== undefined) return banned(ban)
    // A client without an identifier is another one each time.
    if (flapping !== undefined && clientId !== "") {
      const now = nowMs()
      if (flapping.detector.connected(tableKey(tenant, clientId), now)) {
        const subject = { _tag: "Client", tenant, clientId } as const
        const flapped: Ban = {
          subject,
          reason: "the client connects too often",
          untilMs: now + flapping.banMs
        }
        bans.add(flapped)
        return banned(flapped)
      }
    }
    if (isGuess) this.known.set(known, true)
    return accepted
  }
}

const keysOf = ({
  clientId,
  peer,
  username
}: Pick<Identity, "clientId" | "peer" | "username">): Pick<Attempt, "address" | "user" | "known"> => {
  // Those without an address, on a unix socket, are told apart by their listener alone.
  const place = peer.address === "" ? peer.listener : limitKey(peer.address)
  return {
    address: tableKey(place),
    user: username === undefined ? undefined : tableKey(username),
    known: tableKey(place, username ?? "", username === undefined ? clientId : "")
  }
}

/** Refusals that say that the credentials are wrong; others say that we could not tell. */
const isFailure = ({ reasonCode }: Refused): boolean =>
  reasonCode === ReasonCode.BadUserNameOrPassword ||
  reasonCode === ReasonCode.NotAuthorized ||
  reasonCode === ReasonCode.BadAuthenticationMethod

const tooManyFailures: Refused = {
  _tag: "Refused",
  reasonCode: ReasonCode.ConnectionRateExceeded,
  reason: "too many failures to authenticate; wait before the next attempt"
}

const banned = ({ reason }: Ban): Refused => ({ _tag: "Refused", reasonCode: ReasonCode.Banned, reason })
