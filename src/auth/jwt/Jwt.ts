/**
 * JSON Web Tokens (RFC 7519) in their compact form (RFC 7515), signed by one algorithm that the configuration
 * names: the token's own `alg` is compared with it and chooses nothing, so neither `none` nor a public key
 * taken for a secret gets anybody in.
 *
 * Nothing of a token may be believed before `verifyJwt` has said so. Pure but for the signature, which
 * WebCrypto checks off the loop and, for HS256, in constant time.
 */

export type JwtAlgorithm = "HS256" | "RS256" | "ES256" | "EdDSA"

export interface Jwt {
  readonly algorithm: string
  readonly keyId: string | undefined
  /** The token demands that extensions be understood; we know none. (RFC 7515, section 4.1.11) */
  readonly isCritical: boolean
  /** Not verified. */
  readonly claims: Claims
  readonly signed: Uint8Array<ArrayBuffer>
  readonly signature: Uint8Array<ArrayBuffer>
}

export type Claims = Readonly<Record<string, unknown>>

/** Longer ones are no token: it comes in a password, which has at most this many bytes. */
const JWT_LENGTH_MAX = 65_535

/** What has the form of a token; undefined for a mere password. */
export const parseJwt = (bytes: Uint8Array): Jwt | undefined => {
  if (bytes.length > JWT_LENGTH_MAX) return undefined
  const text = Buffer.from(bytes).toString("latin1")
  const match = /^([\w-]+)\.([\w-]+)\.([\w-]*)$/.exec(text)
  if (match === null) return undefined
  const [, head, body, signature] = match
  const header = jsonObject(head!)
  const claims = jsonObject(body!)
  if (header === undefined || claims === undefined || typeof header.alg !== "string") return undefined
  return {
    algorithm: header.alg,
    keyId: typeof header.kid === "string" ? header.kid : undefined,
    isCritical: "crit" in header,
    claims,
    signed: Uint8Array.from(Buffer.from(`${head}.${body}`, "latin1")),
    signature: Uint8Array.from(Buffer.from(signature!, "base64url"))
  }
}

const jsonObject = (part: string): Claims | undefined => {
  try {
    const value: unknown = JSON.parse(
      new TextDecoder("utf-8", { fatal: true }).decode(Buffer.from(part, "base64url"))
    )
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Claims)
      : undefined
  } catch {
    return undefined
  }
}

type ImportParams = Parameters<typeof crypto.subtle.importKey>[2]

interface Signing {
  readonly key: ImportParams
  readonly verify: Parameters<typeof crypto.subtle.verify>[0]
  /** The JSON Web Key that goes with it. (RFC 7518, section 6; RFC 8037) */
  readonly keyType: string
  readonly curve: string | undefined
}

export const signings: Readonly<Record<JwtAlgorithm, Signing>> = {
  HS256: {
    key: { name: "HMAC", hash: "SHA-256" },
    verify: "HMAC",
    keyType: "oct",
    curve: undefined
  },
  RS256: {
    key: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
    verify: "RSASSA-PKCS1-v1_5",
    keyType: "RSA",
    curve: undefined
  },
  ES256: {
    key: { name: "ECDSA", namedCurve: "P-256" },
    verify: { name: "ECDSA", hash: "SHA-256" },
    keyType: "EC",
    curve: "P-256"
  },
  EdDSA: { key: "Ed25519", verify: "Ed25519", keyType: "OKP", curve: "Ed25519" }
}

/** Whether one of the keys has signed it. */
export const verifyJwt = async (
  jwt: Jwt,
  algorithm: JwtAlgorithm,
  keys: ReadonlyArray<CryptoKey>
): Promise<boolean> => {
  if (jwt.algorithm !== algorithm || jwt.isCritical) return false
  for (const key of keys) {
    if (await crypto.subtle.verify(signings[algorithm].verify, key, jwt.signature, jwt.signed)) return true
  }
  return false
}
