/**
 * Re-authentication on a live connection: the client's AUTH packets against the steps of the `Authenticator`.
 * (5.0, 4.12.1)
 *
 * Other packets flow on under the old permissions meanwhile. A failure closes the connection; a success with
 * another tenant or principal is a failure, because the session belongs to the one that made it.
 */

import type { AuthenticationStep, Challenge } from "../auth/Authenticator.ts"
import type { Auth, Properties } from "../protocol/Packet.ts"
import { ReasonCode } from "../protocol/ReasonCode.ts"
import type { SessionOutputs, SessionState } from "./SessionState.ts"

/** What the client's AUTH asks of the authenticator. */
export type AuthRequest =
  | { readonly _tag: "Begin"; readonly method: string; readonly data: Uint8Array | undefined }
  | { readonly _tag: "Respond"; readonly challenge: Challenge; readonly data: Uint8Array | undefined }

/** An AUTH on a live connection. */
export const onAuth = (state: SessionState, packet: Auth, out: SessionOutputs): void => {
  const method = state.terms.authenticationMethod
  const protocolError = (reason: string) => out.close({ reasonCode: ReasonCode.ProtocolError, reason })
  // [MQTT-4.12.0-7]
  if (method === undefined)
    return protocolError("AUTH without an Authentication Method in CONNECT [MQTT-4.12.0-7]")
  // [MQTT-4.12.1-1]
  if (packet.properties.authenticationMethod !== method) {
    return protocolError("the Authentication Method is not that of CONNECT [MQTT-4.12.1-1]")
  }
  const data = packet.properties.authenticationData
  const { challenge } = state
  if (packet.reasonCode === ReasonCode.ReAuthenticate && challenge === undefined && !state.isAuthenticating) {
    state.isAuthenticating = true
    return out.authenticate({ _tag: "Begin", method, data })
  }
  if (packet.reasonCode === ReasonCode.ContinueAuthentication && challenge !== undefined) {
    state.challenge = undefined
    return out.authenticate({ _tag: "Respond", challenge, data })
  }
  protocolError("AUTH out of turn [4.12]")
}

/** The authenticator has answered. */
export const onAuthenticated = (state: SessionState, step: AuthenticationStep, out: SessionOutputs): void => {
  const method = state.terms.authenticationMethod
  if (state.link === undefined || method === undefined) return
  switch (step._tag) {
    case "Challenge":
      state.challenge = step
      // [MQTT-4.12.0-2] [MQTT-4.12.0-5]
      return sendAuth(ReasonCode.ContinueAuthentication, method, step.authenticationData, out)
    case "Refused":
      // [MQTT-4.12.1-2]
      return out.close({ reasonCode: step.reasonCode, reason: step.reason, cause: "reauthentication-failed" })
    case "Accepted":
      state.isAuthenticating = false
      if (step.tenant !== state.identity.tenant || step.principal !== state.identity.principal) {
        return out.close({
          reasonCode: ReasonCode.NotAuthorized,
          reason: "re-authenticated as somebody else",
          cause: "reauthentication-failed"
        })
      }
      state.validUntilMs = step.validUntilMs ?? 0
      state.identity = { ...state.identity, rules: step.rules, method: step.method }
      out.renewPermissions()
      return sendAuth(ReasonCode.Success, method, step.authenticationData, out)
  }
}

const sendAuth = (
  reasonCode: number,
  authenticationMethod: string,
  authenticationData: Uint8Array | undefined,
  out: SessionOutputs
): void => {
  const properties: Properties =
    authenticationData === undefined ? { authenticationMethod } : { authenticationMethod, authenticationData }
  out.send({ _tag: "Auth", reasonCode, properties })
}
