/**
 * Several ways to authenticate, one after the other: the first that knows the client decides.
 *
 * A method answers `Accepted`, `Refused`, a `Challenge`, or `NotMine` when the client's credentials are none
 * of its kind or of nobody it knows; then the next is asked. A method that throws, does not answer in time or
 * answers nonsense has decided too: the client is refused with 0x88, and nobody after it is asked, because
 * what it would have refused must not be let in by another. Nobody decides means no.
 */

import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { ReasonCode } from "../protocol/ReasonCode.ts"
import { loggable, quietly } from "../telemetry/redaction.ts"
import { DEFAULT_TENANT } from "../tenant/TenantDirectory.ts"
import {
  type AuthenticationStep,
  type Authenticator,
  type Challenge,
  type Credentials,
  type Identity,
  type Refused,
  type SecretBytes,
  secretTexts,
  soundStep,
  unknownMethod
} from "./Authenticator.ts"

/** The method has nothing to say of this client. */
export interface NotMine {
  readonly _tag: "NotMine"
}

export const notMine: NotMine = { _tag: "NotMine" }

export type Verdict = AuthenticationStep | NotMine

/** One way to authenticate. */
export interface AuthenticationMethod {
  /** For the log and for the reason of a refusal. */
  readonly name: string
  readonly authenticate: (credentials: Credentials) => Effect.Effect<Verdict>
  /** For methods with enhanced authentication: judges an AUTH on a live connection. (5.0, 4.12.1) */
  readonly reauthenticate?: (
    identity: Identity,
    method: string,
    authenticationData: SecretBytes | undefined
  ) => Effect.Effect<Verdict>
}

export interface ChainOptions {
  /** What each method may take for each of its answers. */
  readonly timeoutMs: number
}

/** An authenticator that asks the methods in their order. */
export const chain = (
  methods: ReadonlyArray<AuthenticationMethod>,
  { timeoutMs }: ChainOptions
): Authenticator["Type"] => {
  const first = (
    ask: (method: AuthenticationMethod) => Effect.Effect<Verdict> | undefined,
    nobody: Refused,
    subject: Subject,
    from = 0
  ): Effect.Effect<AuthenticationStep> => {
    const method = methods[from]
    if (method === undefined) return Effect.succeed(nobody)
    const bounds = { name: method.name, timeoutMs, subject }
    const verdict = settled(() => ask(method) ?? Effect.succeed(notMine), bounds)
    return andThen(verdict, (step) =>
      step._tag === "NotMine" ? first(ask, nobody, subject, from + 1) : Effect.succeed(bounded(step, bounds))
    )
  }
  return {
    authenticate: (credentials) => {
      const { authenticationData, clientId, password, peer } = credentials
      const subject = { clientId, address: peer.address, presented: [password, authenticationData] }
      return first((method) => method.authenticate(credentials), undecided(credentials), subject)
    },
    reauthenticate: (identity, name, authenticationData) => {
      const { clientId, peer, tenant } = identity
      const subject = { tenant, clientId, address: peer.address, presented: [authenticationData] }
      const ask = (method: AuthenticationMethod) =>
        method.reauthenticate?.(identity, name, authenticationData)
      return first(ask, unknownMethod, subject)
    }
  }
}

/**
 * Whoever presents neither a name nor a password nor a method: `anonymous` in the default tenant. The last of
 * a chain; who presents a wrong password is never taken for one who presents none.
 */
export const anonymousMethod = (from: "loopback" | "always"): AuthenticationMethod => ({
  name: "anonymous",
  authenticate: (credentials) => {
    if (presentsCredentials(credentials)) return Effect.succeed(notMine)
    const isAdmitted = from === "always" || credentials.peer.isLoopback
    return Effect.succeed(
      isAdmitted ? { _tag: "Accepted", tenant: DEFAULT_TENANT, principal: "anonymous" } : notMine
    )
  }
})

/** Any `Authenticator` as a method: an authentication method that it does not know is not its own. */
export const methodOf = (name: string, authenticator: Authenticator["Type"]): AuthenticationMethod => {
  const owned = (step: AuthenticationStep): Verdict =>
    step?._tag === "Refused" && step.reasonCode === ReasonCode.BadAuthenticationMethod ? notMine : step
  return {
    name,
    authenticate: (credentials) => Effect.map(authenticator.authenticate(credentials), owned),
    reauthenticate: (identity, method, data) =>
      Effect.map(authenticator.reauthenticate(identity, method, data), owned)
  }
}

/** What all methods say to a wrong password and to an unknown user alike, so that nobody learns which. */
export const wrongCredentials: Refused = {
  _tag: "Refused",
  reasonCode: ReasonCode.BadUserNameOrPassword,
  reason: "unknown user or wrong password"
}

export const presentsCredentials = (credentials: Credentials): boolean =>
  credentials.username !== undefined ||
  credentials.password !== undefined ||
  credentials.authenticationMethod !== undefined

const undecided = (credentials: Credentials): Refused => {
  // [MQTT-4.12.0-1]
  if (credentials.authenticationMethod !== undefined) return unknownMethod
  return presentsCredentials(credentials) ? wrongCredentials : credentialsMissing
}

const credentialsMissing: Refused = {
  _tag: "Refused",
  reasonCode: ReasonCode.NotAuthorized,
  reason: "clients have to authenticate here"
}

interface Bounds extends ChainOptions {
  readonly name: string
  readonly subject: Subject
}

/** Whom a method judges: for the log, should it fail. What was presented is not to be seen there. */
interface Subject {
  readonly tenant?: string
  readonly clientId: string
  readonly address: string
  readonly presented: ReadonlyArray<SecretBytes | undefined>
}

/** An acceptance with whose it is; a challenge whose answer is held to the same terms. */
const bounded = (step: AuthenticationStep, bounds: Bounds): AuthenticationStep => {
  if (step._tag === "Accepted") return { ...step, method: bounds.name }
  if (step._tag !== "Challenge") return step
  const { respond } = step
  const challenge: Challenge = {
    _tag: "Challenge",
    authenticationData: step.authenticationData,
    respond: (data) =>
      Effect.map(
        settled(() => respond(data), withPresented(bounds, data)),
        (next) => (next._tag === "NotMine" ? failed(bounds.name) : bounded(next, bounds))
      )
  }
  return challenge
}

/** The verdict, whatever the method does: it throws, dies, stalls or says what is no verdict. */
const settled = (ask: () => Effect.Effect<Verdict>, bounds: Bounds): Effect.Effect<Verdict> => {
  const { name, timeoutMs } = bounds
  const onCause = (cause: Cause.Cause<never>): Effect.Effect<Verdict> =>
    Cause.isInterruptedOnly(cause)
      ? Effect.failCause(cause)
      : Effect.as(logFailed(cause, bounds), failed(name))
  try {
    const asked = ask()
    // An answer that is there already costs no fiber a step.
    if (Exit.isExit(asked) && Exit.isSuccess(asked))
      return Effect.succeed(sound(asked.value as Verdict, name))
    return asked.pipe(
      Effect.map((verdict) => sound(verdict, name)),
      // What cannot be interrupted does not hold up the refusal.
      Effect.disconnect,
      Effect.timeoutTo({
        duration: timeoutMs,
        onSuccess: (verdict) => verdict,
        onTimeout: () => failed(name)
      }),
      Effect.catchAllCause(onCause),
      quietly
    )
  } catch (defect) {
    return onCause(Cause.die(defect))
  }
}

const withPresented = (bounds: Bounds, data: SecretBytes | undefined): Bounds => {
  const { subject } = bounds
  return { ...bounds, subject: { ...subject, presented: [...subject.presented, data] } }
}

const logFailed = (cause: Cause.Cause<never>, { name, subject }: Bounds): Effect.Effect<void> => {
  const { presented, ...who } = subject
  const shown = loggable(cause, secretTexts(presented))
  return Effect.annotateLogs(Effect.logError(`authentication method ${name} failed`, shown), who)
}

const sound = (verdict: Verdict, name: string): Verdict => {
  if (typeof verdict !== "object" || verdict === null) return failed(name)
  return verdict._tag === "NotMine" ? verdict : soundStep(verdict)
}

const failed = (name: string): Refused => ({
  _tag: "Refused",
  reasonCode: ReasonCode.ServerUnavailable,
  reason: `authentication by ${name} is not available`
})

/** `flatMap` that is a plain call when the answer is there. */
const andThen = (
  verdict: Effect.Effect<Verdict>,
  next: (verdict: Verdict) => Effect.Effect<AuthenticationStep>
): Effect.Effect<AuthenticationStep> =>
  Exit.isExit(verdict) && Exit.isSuccess(verdict)
    ? next(verdict.value as Verdict)
    : Effect.flatMap(verdict, next)
