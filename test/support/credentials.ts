/** What clients present, and what authenticators say to it: for tests of authenticators without a broker. */

import * as Effect from "effect/Effect"
import {
  type AuthenticationStep,
  type Credentials,
  type Identity,
  secretBytes
} from "../../src/auth/Authenticator.ts"
import type { Verdict } from "../../src/auth/Chain.ts"
import type { Peer } from "../../src/transport/Transport.ts"

export const testPeer: Peer = {
  transport: "tcp",
  listener: "tcp",
  address: "192.0.2.1",
  port: 40_000,
  isLoopback: false,
  serverName: undefined,
  certificate: undefined
}

interface Presented {
  readonly peer?: Partial<Peer>
  readonly clientId?: string
  readonly username?: string
  readonly password?: string
  readonly authenticationMethod?: string
  readonly authenticationData?: Uint8Array
}

export const credentials = (presented: Presented = {}): Credentials => ({
  peer: { ...testPeer, ...presented.peer },
  protocolVersion: 5,
  clientId: presented.clientId ?? "client",
  username: presented.username,
  password: presented.password === undefined ? undefined : secretBytes(Buffer.from(presented.password)),
  authenticationMethod: presented.authenticationMethod,
  authenticationData: secretBytes(presented.authenticationData),
  userProperties: []
})

export const identityOf = (principal: string, tenant = "default"): Identity => ({
  tenant,
  principal,
  clientId: "client",
  username: principal,
  peer: testPeer
})

/** A verdict in one line: `tenant/principal`, a reason code in hexadecimal, or its tag. */
export const told = (step: Verdict): string => {
  switch (step._tag) {
    case "Accepted":
      return `${step.tenant}/${step.principal}`
    case "Refused":
      return `0x${step.reasonCode.toString(16)}`
    default:
      return step._tag
  }
}

export const tell = (step: Effect.Effect<AuthenticationStep | Verdict>): Promise<string> =>
  Effect.runPromise(Effect.map(step, told))
