/** The text of a password file: what is read, what is refused, and what an edit leaves alone. */

import { describe, expect, test } from "bun:test"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import {
  parsePasswordFile,
  problemOfName,
  withoutUser,
  withUser
} from "../../../src/auth/password/PasswordFile.ts"
import {
  hashPassword,
  parsePasswordHash,
  scramHash,
  verifyPassword
} from "../../../src/auth/password/PasswordHash.ts"

const cost = { memoryCost: 8, timeCost: 1, iterations: 4096 }
const bytes = (text: string): Uint8Array => Buffer.from(text)

/** By mosquitto_passwd 2.0.11, of "secret". */
const mosquitto =
  "$7$101$ZQCvMNwaA+2rwQC5$wOhfFA9QTq98gUiK+2bYDaAo/CuY/HwY3S2yyxWtdoUZHm5Tv5J4UNBk/6pb46uJ4A6y0C6wFGRm7QFkgwWSHA=="
/** By the argon2 command, of "secret". */
const argon = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$"
const argon2id = await hashPassword("secret", cost)
const scram = await scramHash(bytes("secret"), cost)

const usersOf = (text: string): unknown =>
  Either.match(parsePasswordFile(text), {
    onLeft: (problem) => problem,
    onRight: (users) => [...users.values()].map(({ hash, tenant, username }) => [username, tenant, hash._tag])
  })

describe("a password", () => {
  for (const [name, hash] of Object.entries({ argon2id, mosquitto, scram })) {
    test(`is the one that was hashed, and no other is (${name})`, async () => {
      const parsed = parsePasswordHash(hash)
      if (parsed === undefined) throw new TypeError(hash)
      expect(await verifyPassword(bytes("secret"), parsed)).toBe(true)
      for (const wrong of ["Secret", "secret ", "", "secre", hash]) {
        expect(await verifyPassword(bytes(wrong), parsed)).toBe(false)
      }
    })

    test(`whose hash was cut short is nobody's (${name})`, async () => {
      for (const length of [hash.length - 3, hash.length - 4, hash.length - 20, 12]) {
        const parsed = parsePasswordHash(hash.slice(0, length))
        if (parsed === undefined) continue
        expect(await verifyPassword(bytes("secret"), parsed)).toBe(false)
      }
    })
  }

  const refused = [
    "",
    "secret",
    "$6$aaaa$bbbb",
    "$7$0$ZQCv$wOhf",
    "$argon2i$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g",
    `${argon}x`,
    `${argon2id} `,
    `${argon2id}$`,
    "SCRAM-SHA-256$4096$c2FsdA==$aGFzaA==$aGFzaA=="
  ]
  for (const hash of refused) {
    test(`is not kept as ${hash.slice(0, 24)}`, () => expect(parsePasswordHash(hash)).toBeUndefined())
  }
})

describe("a password file", () => {
  const rows: ReadonlyArray<readonly [name: string, text: string, users: unknown]> = [
    [
      "holds users with their tenants",
      `#heddle-passwords 1\nada:acme:${argon2id}\n`,
      [["ada", "acme", "Argon2id"]]
    ],
    ["without a tenant means the default one", `ada::${argon2id}\n`, [["ada", "default", "Argon2id"]]],
    ["may be one of mosquitto's", `bob:${mosquitto}\n`, [["bob", "default", "Pbkdf2"]]],
    ["may hold what SCRAM needs", `eve:acme:${scram}`, [["eve", "acme", "Scram"]]],
    [
      "may have comments and empty lines",
      `# users\n\nbob:${mosquitto}\r\n  \n`,
      [["bob", "default", "Pbkdf2"]]
    ],
    ["may say that nobody gets in", "#heddle-passwords 1\n", []],
    ["takes any name for a name", `__proto__::${scram}`, [["__proto__", "default", "Scram"]]],
    ["that is empty is refused", "", "holds no users"],
    ["with nothing but comments is refused", "# nothing\n", "holds no users"],
    [
      "of a later version is refused",
      "#heddle-passwords 2\n",
      'is a password file of version "2"; 1 is known'
    ],
    [
      "with the same user twice is refused",
      `ada::${argon2id}\nada:acme:${scram}\n`,
      "is not a password file: line 2: user ada stands twice"
    ],
    [
      "with a line that is none is refused",
      "ada\n",
      "is not a password file: line 1: expected user:tenant:hash"
    ],
    [
      "does not repeat a password that stands where a hash should",
      "ada:secret\n",
      "is not a password file: line 1: user ada: expected a hash that is $argon2id$, $7$ (mosquitto) or " +
        "SCRAM-SHA-256$"
    ],
    [
      "tells a few of many problems",
      "a\n".repeat(7),
      `is not a password file: ${[1, 2, 3, 4, 5].map((line) => `line ${line}: expected user:tenant:hash`).join("; ")}; and 2 more`
    ]
  ]
  for (const [name, text, users] of rows) test(name, () => expect(usersOf(text)).toEqual(users))
})

describe("an edit", () => {
  const user = { username: "ada", tenant: "acme", hash: argon2id }

  test("of no file makes one", () => {
    const text = withUser("", user)
    expect(text).toStartWith("#heddle-passwords 1\n")
    expect(usersOf(text)).toEqual([["ada", "acme", "Argon2id"]])
  })

  test("keeps the other lines as they are", () => {
    const before = `# users\nbob:${mosquitto}\nada::${scram}\n# end\n`
    expect(withUser(before, user)).toBe(`# users\nbob:${mosquitto}\nada:acme:${argon2id}\n# end\n`)
    expect(withoutUser(before, "ada")).toBe(`# users\nbob:${mosquitto}\n# end\n`)
    expect(withoutUser(before, "eve")).toBeUndefined()
  })

  test("that deletes the last user leaves a file that lets nobody in", () => {
    expect(usersOf(withoutUser(`bob:${mosquitto}\n`, "bob") ?? "")).toEqual([])
  })

  test("of any users reads back as the last of each name", () => {
    const name = FastCheck.string({ unit: "binary", maxLength: 8 }).filter(
      (each) => problemOfName("user", each) === undefined
    )
    FastCheck.assert(
      FastCheck.property(
        FastCheck.array(FastCheck.tuple(name, FastCheck.constantFrom("a", "b"))),
        (edits) => {
          const text = edits.reduce(
            (before, [username, tenant]) => withUser(before, { username, tenant, hash: scram }),
            "#heddle-passwords 1\n"
          )
          const expected = [...new Map(edits)].map(([username, tenant]) => [username, tenant, "Scram"])
          expect(usersOf(text)).toEqual(expected)
        }
      )
    )
  })
})
