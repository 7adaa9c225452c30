/**
 * The text of a password file: one user a line, `user:tenant:hash`, or `user:hash` for the tenant `default`
 * (which is mosquitto's form). Empty lines and lines that begin with `#` are comments.
 *
 * The first line says the version: `#heddle-passwords 1`. A file without it is read as version 1 if it holds
 * users; an empty file is not taken for one that lets nobody in, because it is more likely half written.
 *
 * Pure. Edits change the lines of their user and keep the others as they are.
 */

import * as Either from "effect/Either"
import { DEFAULT_TENANT } from "../../tenant/TenantDirectory.ts"
import { type PasswordHash, parsePasswordHash } from "./PasswordHash.ts"

export interface PasswordUser {
  readonly username: string
  readonly tenant: string
  readonly hash: PasswordHash
}

export type PasswordUsers = ReadonlyMap<string, PasswordUser>

const HEADER = "#heddle-passwords"
const VERSION = "1"

/** The header of a new file, with what a reader of it needs to know. */
const newFile = `${HEADER} ${VERSION}
# user:tenant:hash, one a line; written by \`heddle passwd\`, read again by the broker when it changes
`

/** How many problems are told at once. */
const TOLD_MAX = 5

/** The users of a file by name, or everything that is wrong with it, as it reads on after the file's name. */
export const parsePasswordFile = (text: string): Either.Either<PasswordUsers, string> => {
  const users = new Map<string, PasswordUser>()
  const problems: Array<string> = []
  const lines = linesOf(text)
  const version = versionOf(lines)
  if (version !== undefined && version !== VERSION) {
    return Either.left(`is a password file of version ${JSON.stringify(version)}; ${VERSION} is known`)
  }
  for (const [index, line] of lines.entries()) {
    if (isComment(line)) continue
    const user = parseLine(line)
    if (typeof user === "string") problems.push(`line ${index + 1}: ${user}`)
    else if (users.has(user.username)) problems.push(`line ${index + 1}: user ${user.username} stands twice`)
    else users.set(user.username, user)
  }
  if (problems.length > 0) {
    const more = problems.length > TOLD_MAX ? `; and ${problems.length - TOLD_MAX} more` : ""
    return Either.left(`is not a password file: ${problems.slice(0, TOLD_MAX).join("; ")}${more}`)
  }
  if (users.size === 0 && version === undefined) return Either.left("holds no users")
  return Either.right(users)
}

/** The file with that user in it, new or instead of what stood there. */
export const withUser = (
  text: string,
  user: { readonly username: string; readonly tenant: string; readonly hash: string }
): string => {
  const { hash, tenant, username } = user
  const line = `${username}:${tenant === DEFAULT_TENANT ? "" : tenant}:${hash}`
  const lines = linesOf(text)
  const at = lines.findIndex((each) => isOf(each, username))
  if (at < 0) return `${text === "" ? newFile : joined(lines)}${line}\n`
  return joined(lines.with(at, line))
}

/** The file without that user; undefined when it does not hold it. */
export const withoutUser = (text: string, username: string): string | undefined => {
  const lines = linesOf(text)
  const others = lines.filter((line) => !isOf(line, username))
  if (others.length === lines.length) return undefined
  // Without its last user a file of mosquitto's would be taken for half written.
  return others.every(isComment) && versionOf(others) === undefined
    ? `${newFile}${joined(others)}`
    : joined(others)
}

/** Why a name cannot stand in a line; undefined when it can. */
export const problemOfName = (what: "user" | "tenant", name: string): string | undefined => {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (/[:\u0000-\u001f\u007f]/.test(name))
    return `a ${what} has no colon and no control characters in its name`
  if (what === "user" && (name === "" || name.startsWith("#"))) {
    return "a user's name is not empty and does not begin with #"
  }
  return Buffer.byteLength(name) > 1024 ? `a ${what}'s name has at most 1024 bytes` : undefined
}

const linesOf = (text: string): ReadonlyArray<string> => {
  const lines = text.split(/\r?\n/)
  return lines.at(-1) === "" ? lines.slice(0, -1) : lines
}

const joined = (lines: ReadonlyArray<string>): string => lines.map((line) => `${line}\n`).join("")

const versionOf = ([first = ""]: ReadonlyArray<string>): string | undefined =>
  first.startsWith(HEADER) ? first.slice(HEADER.length).trim() : undefined

const isComment = (line: string): boolean => line.startsWith("#") || line.trim() === ""

const isOf = (line: string, username: string): boolean => !isComment(line) && line.split(":")[0] === username

/** The user of a line, or what is wrong with it. It must not repeat the hash: problems are logged. */
const parseLine = (line: string): PasswordUser | string => {
  const fields = line.split(":")
  if (fields.length < 2 || fields.length > 3) return "expected user:tenant:hash"
  const username = fields[0]!
  const tenant = fields.length === 3 ? fields[1]! : ""
  const problem = problemOfName("user", username) ?? problemOfName("tenant", tenant)
  if (problem !== undefined) return problem
  const hash = parsePasswordHash(fields.at(-1)!)
  if (hash === undefined) {
    return `user ${username}: expected a hash that is $argon2id$, $7$ (mosquitto) or SCRAM-SHA-256$`
  }
  return { username, tenant: tenant === "" ? DEFAULT_TENANT : tenant, hash }
}
