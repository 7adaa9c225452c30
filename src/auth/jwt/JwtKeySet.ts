/**
 * The keys that verify tokens, from a shared secret, a PEM file or a JSON Web Key Set (RFC 7517).
 *
 * Only keys of the configured algorithm are taken: of a set, others are passed over, as RFC 7517 section 5
 * asks; a file that holds a single other key is an error.
 */

import { createPublicKey, type KeyObject, type webcrypto } from "node:crypto"
import * as Effect from "effect/Effect"
import { type JwtAlgorithm, signings } from "./Jwt.ts"

export interface JwtKey {
  readonly keyId: string | undefined
  readonly key: CryptoKey
}

type JsonWebKey = webcrypto.JsonWebKey

export type JwtKeySet = ReadonlyArray<JwtKey>

/** Keys that are taken from a set, and that are tried on a token that names none. */
const KEYS_MAX = 100
const TRIED_MAX = 8

/** Shorter secrets can be guessed from a token. (RFC 7518, section 3.2) */
const SECRET_BYTES_MIN = 32

/** RFC 7518, section 3.3. */
const RSA_BITS_MIN = 2048

/**
 * The keys that may have signed a token with this `kid`: those with that name, or else those without a name.
 */
export const keysFor = (keys: JwtKeySet, keyId: string | undefined): ReadonlyArray<CryptoKey> => {
  const named = keyId === undefined ? keys : keys.filter((each) => each.keyId === keyId)
  const candidates = named.length > 0 ? named : keys.filter((each) => each.keyId === undefined)
  return candidates.slice(0, TRIED_MAX).map(({ key }) => key)
}

/** The key set of a secret; fails with what is wrong with it. */
export const keySetOfSecret = (secret: string): Effect.Effect<JwtKeySet, string> =>
  Buffer.byteLength(secret) < SECRET_BYTES_MIN
    ? Effect.fail(`is too short: HS256 wants a secret of at least ${SECRET_BYTES_MIN} bytes`)
    : imported(() =>
        crypto.subtle.importKey("raw", Buffer.from(secret), signings.HS256.key, false, ["verify"])
      ).pipe(Effect.map((key) => [{ keyId: undefined, key }]))

/** The keys of a PEM file (a public key or a certificate) or of a JSON Web Key Set. */
export const keySetOfText = (text: string, algorithm: JwtAlgorithm): Effect.Effect<JwtKeySet, string> =>
  text.trimStart().startsWith("{") ? keySetOfJson(text, algorithm) : keySetOfPem(text, algorithm)

const keySetOfPem = (pem: string, algorithm: JwtAlgorithm): Effect.Effect<JwtKeySet, string> =>
  Effect.gen(function* () {
    if (algorithm === "HS256") return yield* Effect.fail("is not a secret, and algorithm HS256 wants one")
    if (/PRIVATE KEY/.test(pem)) return yield* Effect.fail("holds a private key: give the public key alone")
    const object = yield* Effect.try({ try: () => createPublicKey(pem), catch: () => "holds no public key" })
    return yield* keySetOfJson(JSON.stringify({ keys: [jwkOf(object)] }), algorithm)
  })

const jwkOf = (object: KeyObject): object => object.export({ format: "jwk" })

const keySetOfJson = (text: string, algorithm: JwtAlgorithm): Effect.Effect<JwtKeySet, string> =>
  Effect.gen(function* () {
    const set: unknown = yield* Effect.try({ try: () => JSON.parse(text), catch: () => "is not JSON" })
    const listed = isRecord(set) && Array.isArray(set.keys) ? set.keys : undefined
    if (listed === undefined) return yield* Effect.fail("is not a key set: it has no list of keys")
    const fitting = listed.filter((jwk): jwk is JsonWebKey => fits(jwk, algorithm)).slice(0, KEYS_MAX)
    if (fitting.length === 0) return yield* Effect.fail(`holds no key for ${algorithm}`)
    return yield* Effect.forEach(fitting, (jwk) => keyOf(jwk, algorithm))
  })

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null

const fits = (jwk: unknown, algorithm: JwtAlgorithm): boolean => {
  const { curve, keyType } = signings[algorithm]
  return (
    isRecord(jwk) &&
    jwk.kty === keyType &&
    jwk.crv === curve &&
    (jwk.use === undefined || jwk.use === "sig") &&
    (jwk.alg === undefined || jwk.alg === algorithm || (curve === "Ed25519" && jwk.alg === curve))
  )
}

const keyOf = (jwk: JsonWebKey, algorithm: JwtAlgorithm): Effect.Effect<JwtKey, string> => {
  const { alg: _, ext: __, key_ops: ___, use: ____, d: _____, ...bare } = jwk
  const { kid } = jwk as { readonly kid?: unknown }
  const sized = bitsOf(jwk)
  if (sized !== undefined && sized.bits < sized.min) {
    return Effect.fail(`holds a key of ${sized.bits} bits; ${algorithm} wants at least ${sized.min}`)
  }
  return imported(() =>
    crypto.subtle.importKey("jwk", bare, signings[algorithm].key, false, ["verify"])
  ).pipe(Effect.map((key) => ({ keyId: typeof kid === "string" ? kid : undefined, key })))
}

const bitsOf = (jwk: JsonWebKey): { readonly bits: number; readonly min: number } | undefined => {
  const bits = (text: string | undefined) => Buffer.from(text ?? "", "base64url").length * 8
  if (jwk.kty === "RSA") return { bits: bits(jwk.n), min: RSA_BITS_MIN }
  return jwk.kty === "oct" ? { bits: bits(jwk.k), min: SECRET_BYTES_MIN * 8 } : undefined
}

const imported = (load: () => Promise<CryptoKey>): Effect.Effect<CryptoKey, string> =>
  Effect.tryPromise({ try: load, catch: () => "holds a key that cannot be used" })
