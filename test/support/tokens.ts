/** JSON Web Tokens made for tests, sound or not. */

import type { KeyObject } from "node:crypto"
import { createHmac, sign } from "node:crypto"

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url")

export interface Token {
  readonly header?: Readonly<Record<string, unknown>>
  readonly claims: Readonly<Record<string, unknown>>
}

const assemble = (algorithm: string, { claims, header }: Token, signer: (text: string) => Buffer): string => {
  const signed = `${part({ alg: algorithm, typ: "JWT", ...header })}.${part(claims)}`
  return `${signed}.${signer(signed).toString("base64url")}`
}

export const hs256 = (secret: string | Buffer, token: Token): string =>
  assemble("HS256", token, (text) => createHmac("sha256", secret).update(text).digest())

/** By a private key: RS256, ES256 or EdDSA by its type. */
export const signedBy = (key: KeyObject, token: Token): string => {
  const type = key.asymmetricKeyType
  if (type === "rsa") return assemble("RS256", token, (text) => sign("sha256", Buffer.from(text), key))
  if (type === "ed25519") return assemble("EdDSA", token, (text) => sign(null, Buffer.from(text), key))
  return assemble("ES256", token, (text) =>
    sign("sha256", Buffer.from(text), { key, dsaEncoding: "ieee-p1363" })
  )
}

/** With no signature at all. */
export const unsigned = (token: Token): string => assemble("none", token, () => Buffer.alloc(0))
