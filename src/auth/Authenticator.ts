/**
 * Who is connecting: the port that turns what a CONNECT says into a tenant and a principal.
 *
 * Simple authentication is one step; the enhanced authentication of MQTT 5.0 section 4.12 is a chain of
 * `Challenge`s, each with the function that takes the client's answer. Whatever fails, throws or takes longer
 * than the handshake's deadline refuses the connection, and no session is touched before the last step has
 * said `Accepted`.
 */

import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { ProtocolVersion, UserProperties } from "../protocol/Packet.ts"
import { isFailure, ReasonCode } from "../protocol/ReasonCode.ts"
import { DEFAULT_TENANT } from "../tenant/TenantDirectory.ts"
import type { Peer } from "../transport/Transport.ts"
import type { AclRule } from "./Acl.ts"

/**
 * What a client proves itself with: `Redacted.value` gives the bytes, and nothing else shows them, neither a
 * log nor JSON nor the message of an error.
 */
export type SecretBytes = Redacted.Redacted<Uint8Array>

export const secretBytes = (bytes: Uint8Array | undefined): SecretBytes | undefined =>
  bytes && Redacted.make(bytes)

/** The bytes themselves, for those who judge them. */
export const bytesOf = (secret: SecretBytes | undefined): Uint8Array | undefined =>
  secret && Redacted.value(secret)

/** As text, to be found where somebody has quoted them. */
export const secretTexts = (secrets: ReadonlyArray<SecretBytes | undefined>): ReadonlyArray<string> =>
  secrets.flatMap((secret) => (secret === undefined ? [] : [Buffer.from(Redacted.value(secret)).toString()]))

/** What an authenticator may judge by. */
export interface Credentials {
  readonly peer: Peer
  readonly protocolVersion: ProtocolVersion
  /** As the client sent it; empty when it asks for an assigned one. */
  readonly clientId: string
  readonly username: string | undefined
  readonly password: SecretBytes | undefined
  readonly authenticationMethod: string | undefined
  readonly authenticationData: SecretBytes | undefined
  readonly userProperties: UserProperties
}

/** Who a client is, as long as its connection lasts. */
export interface Identity {
  readonly tenant: string
  /** The name that owns the sessions it makes: a session is resumed by its own principal only. */
  readonly principal: string
  readonly clientId: string
  /** As the client sent it: proved only where it is the principal, as with a password file. */
  readonly username: string | undefined
  readonly peer: Peer
  /** What its credentials grant, where they say so: for the `Authorizer` to judge by. */
  readonly rules?: ReadonlyArray<AclRule> | undefined
  /** The name of the authentication method that has accepted it, where there are several. */
  readonly method?: string | undefined
  /**
   * Its client has not connected since the broker started, or has gone: of `username`, `peer`, `rules`
   * and `method` nothing is known.
   */
  readonly isAbsent?: boolean | undefined
}

export interface Accepted {
  readonly _tag: "Accepted"
  readonly tenant: string
  readonly principal: string
  /**
   * The instant (ms since the epoch) at which the credentials expire: the connection ends then with 0xA0,
   * unless it has been authenticated again. For ever when absent.
   */
  readonly validUntilMs?: number
  /** What the credentials grant, as a token's claims do: becomes `Identity.rules`. */
  readonly rules?: ReadonlyArray<AclRule>
  /** Who has accepted it, which a chain of methods says: becomes `Identity.method`. */
  readonly method?: string
  /** For CONNACK: Response Information, given to clients that request it. */
  readonly responseInformation?: string
  /** For CONNACK or the closing AUTH of an enhanced exchange. */
  readonly authenticationData?: Uint8Array
  readonly userProperties?: UserProperties
}

export interface Refused {
  readonly _tag: "Refused"
  /** A Connect Reason Code of 0x80 or more; v3 clients get the return code that comes closest. */
  readonly reasonCode: ReasonCode
  readonly reason: string
}

/** The server's side of an AUTH exchange: sends `authenticationData` and waits for the client's. */
export interface Challenge {
  readonly _tag: "Challenge"
  readonly authenticationData: Uint8Array | undefined
  readonly respond: (authenticationData: SecretBytes | undefined) => Effect.Effect<AuthenticationStep>
}

export type AuthenticationStep = Accepted | Refused | Challenge

export class Authenticator extends Context.Tag("heddle/Authenticator")<
  Authenticator,
  {
    /** Judges a CONNECT. An Authentication Method that it does not know is `Refused` with 0x8C. */
    readonly authenticate: (credentials: Credentials) => Effect.Effect<AuthenticationStep>
    /**
     * Judges an AUTH 0x19 on a live connection; the method is the one of its CONNECT. (5.0, section 4.12.1)
     */
    readonly reauthenticate: (
      identity: Identity,
      method: string,
      authenticationData: SecretBytes | undefined
    ) => Effect.Effect<AuthenticationStep>
  }
>() {
  /**
   * Everybody is `anonymous` in the default tenant; what a client says of itself is not checked.
   * `loopback` admits clients on this machine only, `always` admits all, `never` none.
   */
  static readonly layerAnonymous = (from: "loopback" | "always" | "never") =>
    Layer.succeed(Authenticator, anonymousOnly(from))
}

/** See `layerAnonymous`. */
export const anonymousOnly = (from: "loopback" | "always" | "never"): Authenticator["Type"] => ({
  authenticate: (credentials) => {
    if (credentials.authenticationMethod !== undefined) return Effect.succeed(unknownMethod)
    const admitted = from === "always" || (from === "loopback" && credentials.peer.isLoopback)
    return Effect.succeed(admitted ? anonymous : notAnonymously(from))
  },
  reauthenticate: () => Effect.succeed(unknownMethod)
})

/**
 * An authenticator's answer as it may be acted upon: what is no answer refuses, and so does a refusal without
 * a code for it.
 */
export const soundStep = (step: AuthenticationStep): AuthenticationStep => {
  switch (step._tag) {
    case "Accepted":
      return isSoundAcceptance(step) ? step : nonsense
    case "Refused":
      return isFailure(step.reasonCode) ? step : { ...step, reasonCode: ReasonCode.NotAuthorized }
    case "Challenge":
      return step
    default:
      return nonsense
  }
}

const isSoundAcceptance = ({ principal, rules, tenant, validUntilMs = 0 }: Accepted): boolean =>
  typeof tenant === "string" &&
  typeof principal === "string" &&
  Number.isFinite(validUntilMs) &&
  (rules === undefined || Array.isArray(rules))

const nonsense: Refused = {
  _tag: "Refused",
  reasonCode: ReasonCode.NotAuthorized,
  reason: "the authenticator's answer makes no sense"
}

const anonymous: Accepted = { _tag: "Accepted", tenant: DEFAULT_TENANT, principal: "anonymous" }

const notAnonymously = (from: string): Refused => ({
  _tag: "Refused",
  reasonCode: ReasonCode.NotAuthorized,
  reason: `anonymous clients are not admitted here (authentication.anonymous is ${from})`
})

/** [MQTT-4.12.0-1] */
export const unknownMethod: Refused = {
  _tag: "Refused",
  reasonCode: ReasonCode.BadAuthenticationMethod,
  reason: "the authentication method is not supported"
}
