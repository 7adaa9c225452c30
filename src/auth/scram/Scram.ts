/**
 * The server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677) as functions of its messages: the client proves
 * that it knows the password, the server that it keeps what was made of it, and nobody who listens learns
 * either.
 *
 * Without channel binding. Names and passwords are printable ASCII, which SASLprep (RFC 4013) leaves as it
 * is; other names are refused rather than compared in a form that the client may not have meant.
 */

import { createHash, createHmac, timingSafeEqual } from "node:crypto"
import type { ScramKeys } from "../password/PasswordHash.ts"

/** What the client says first. */
export interface ClientFirst {
  /** Whether it binds the channel, and for whom it asks: repeated, encoded, in its final message. */
  readonly gs2Header: string
  readonly bare: string
  readonly username: string
  readonly nonce: string
}

/** Real messages have a tenth of this. */
const MESSAGE_BYTES_MAX = 4096

const textOf = (data: Uint8Array | undefined): string | undefined => {
  if (data === undefined || data.length > MESSAGE_BYTES_MAX) return undefined
  const text = Buffer.from(data).toString("latin1")
  return /^[\x20-\x7e]*$/.test(text) ? text : undefined
}

/** `n,,n=user,r=nonce`; a reserved `m=` in front, an identity to act as, or channel binding is refused. */
export const parseClientFirst = (data: Uint8Array | undefined): ClientFirst | undefined => {
  const match = /^([ny],,)(n=([^,]+),r=([\x21-\x2b\x2d-\x7e]+)(?:,[a-zA-Z]=[^,]+)*)$/.exec(textOf(data) ?? "")
  if (match === null) return undefined
  const [, gs2Header = "", bare = "", name = "", nonce = ""] = match
  const username = unescaped(name)
  return username === undefined ? undefined : { gs2Header, bare, username, nonce }
}

/** RFC 5802, section 5.1: `=2C` is a comma and `=3D` an equals sign; another `=` is a mistake. */
const unescaped = (name: string): string | undefined =>
  /^(?:[^=]|=2C|=3D)+$/.test(name) ? name.replaceAll("=2C", ",").replaceAll("=3D", "=") : undefined

/** The server's first message; the nonce is the client's with ours behind it. */
export const serverFirst = (
  { nonce }: ClientFirst,
  serverNonce: string,
  { iterations, salt }: Pick<ScramKeys, "iterations" | "salt">
): string => `r=${nonce}${serverNonce},s=${Buffer.from(salt).toString("base64")},i=${iterations}`

/** What has been said before the client's final message. */
export interface ScramExchange {
  readonly first: ClientFirst
  readonly serverFirst: string
  readonly serverNonce: string
  readonly keys: ScramKeys
}

/** The server's final message, if the client has proved that it knows the password. */
export const judgeClientFinal = (
  { first, keys, serverFirst: answered, serverNonce }: ScramExchange,
  data: Uint8Array | undefined
): string | undefined => {
  const match = /^((c=[^,]+),r=([^,]+)(?:,[a-zA-Z]=[^,]+)*),p=([A-Za-z0-9+/]{43}=)$/.exec(textOf(data) ?? "")
  if (match === null) return undefined
  const [, withoutProof = "", binding, nonce, proof = ""] = match
  if (binding !== `c=${Buffer.from(first.gs2Header).toString("base64")}`) return undefined
  if (nonce !== `${first.nonce}${serverNonce}`) return undefined
  const message = `${first.bare},${answered},${withoutProof}`
  const signature = createHmac("sha256", keys.storedKey).update(message).digest()
  const clientKey = Buffer.from(proof, "base64").map((byte, index) => byte ^ (signature[index] ?? 0))
  const storedKey = createHash("sha256").update(clientKey).digest()
  if (!timingSafeEqual(storedKey, keys.storedKey)) return undefined
  return `v=${createHmac("sha256", keys.serverKey).update(message).digest("base64")}`
}
