/**
 * What is kept of a password, and whether a password is the one.
 *
 * Three forms are read: argon2id in its usual notation; mosquitto's `$7$` (PBKDF2 with SHA-512); and what
 * SCRAM-SHA-256 keeps of a password (RFC 5803), which serves a password in CONNECT as well. All of them work
 * on threads of their own.
 */

import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from "node:crypto"
import { promisify } from "node:util"

const deriveKey = promisify(pbkdf2)

export type PasswordHash =
  | { readonly _tag: "Argon2id"; readonly text: string }
  | {
      readonly _tag: "Pbkdf2"
      readonly iterations: number
      readonly salt: Uint8Array
      readonly key: Uint8Array
    }
  | ScramKeys

/** What a server keeps of a password for SCRAM-SHA-256: not enough to log in with. (RFC 5802, section 3) */
export interface ScramKeys {
  readonly _tag: "Scram"
  readonly iterations: number
  readonly salt: Uint8Array
  readonly storedKey: Uint8Array
  readonly serverKey: Uint8Array
}

/** What hashing one password costs. */
export interface HashCost {
  /** Of argon2id, in KiB. */
  readonly memoryCost: number
  readonly timeCost: number
  /** Of SCRAM-SHA-256. */
  readonly iterations: number
}

/** What OWASP's password storage cheat sheet asks of argon2id, and RFC 7677 at least of SCRAM. */
export const defaultHashCost: HashCost = { memoryCost: 19_456, timeCost: 2, iterations: 32_768 }

const argon2id =
  /^\$argon2id\$v=19\$m=\d{1,7},t=\d{1,3},p=\d{1,2}\$([A-Za-z0-9+/]{11,})\$([A-Za-z0-9+/]{22,})$/

const base64 = "[A-Za-z0-9+/]+={0,2}"
const pbkdf2Sha512 = new RegExp(`^\\$7\\$(\\d{1,7})\\$(${base64})\\$(${base64})$`)
const scramSha256 = new RegExp(`^SCRAM-SHA-256\\$(\\d{1,7})\\$(${base64})\\$(${base64})\\$(${base64})$`)

/** A hash as it is written in a file; undefined when it is none. */
export const parsePasswordHash = (text: string): PasswordHash | undefined => {
  const argon = argon2id.exec(text)
  if (argon !== null) {
    const [, ...parts] = argon
    // One that Bun could not decode would fail every time somebody tried.
    const isWhole = parts.every(
      (part) => Buffer.from(bytes(part)).toString("base64").replace(/=+$/, "") === part
    )
    return isWhole ? { _tag: "Argon2id", text } : undefined
  }
  const mosquitto = pbkdf2Sha512.exec(text)
  if (mosquitto !== null) {
    const [, iterations, salt, key] = mosquitto
    const parsed = {
      _tag: "Pbkdf2",
      iterations: Number(iterations),
      salt: bytes(salt),
      key: bytes(key)
    } as const
    return parsed.key.length === 64 && parsed.iterations > 0 ? parsed : undefined
  }
  const scram = scramSha256.exec(text)
  if (scram === null) return undefined
  const [, iterations, salt, stored, server] = scram
  const keys: ScramKeys = {
    _tag: "Scram",
    iterations: Number(iterations),
    salt: bytes(salt),
    storedKey: bytes(stored),
    serverKey: bytes(server)
  }
  const isWhole = keys.storedKey.length === 32 && keys.serverKey.length === 32 && keys.iterations > 0
  return isWhole ? keys : undefined
}

const bytes = (text: string | undefined): Uint8Array => Buffer.from(text ?? "", "base64")

/** A password's hash as text. An empty password has none: nobody is to log in with it. */
export const hashPassword = (password: string, { memoryCost, timeCost }: HashCost): Promise<string> =>
  Bun.password.hash(password, { algorithm: "argon2id", memoryCost, timeCost })

export const scramHash = async (password: Uint8Array, { iterations }: HashCost): Promise<string> => {
  const salt = randomBytes(16)
  const { serverKey, storedKey } = await scramKeys(password, salt, iterations)
  const [saltText, storedText, serverText] = [salt, storedKey, serverKey].map((part) =>
    Buffer.from(part).toString("base64")
  )
  return `SCRAM-SHA-256$${iterations}$${saltText}$${storedText}$${serverText}`
}

/** RFC 5802, section 3, with SHA-256 (RFC 7677). */
export const scramKeys = async (
  password: Uint8Array,
  salt: Uint8Array,
  iterations: number
): Promise<ScramKeys> => {
  const saltedPassword = await deriveKey(password, salt, iterations, 32, "sha256")
  const clientKey = createHmac("sha256", saltedPassword).update("Client Key").digest()
  const serverKey = createHmac("sha256", saltedPassword).update("Server Key").digest()
  const storedKey = createHash("sha256").update(clientKey).digest()
  return { _tag: "Scram", iterations, salt, storedKey, serverKey }
}

/** Whether the password is the one that was hashed. Takes as long either way. */
export const verifyPassword = async (password: Uint8Array, hash: PasswordHash): Promise<boolean> => {
  switch (hash._tag) {
    case "Argon2id":
      return Bun.password.verify(password, hash.text)
    case "Pbkdf2": {
      const key = await deriveKey(password, hash.salt, hash.iterations, hash.key.length, "sha512")
      return timingSafeEqual(key, hash.key)
    }
    case "Scram": {
      const { storedKey } = await scramKeys(password, hash.salt, hash.iterations)
      return timingSafeEqual(storedKey, hash.storedKey)
    }
  }
}
