/** What is shown of what could hold anything. */

import { describe, expect, test } from "bun:test"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Redacted from "effect/Redacted"
import { errorText, loggable, loggableValue } from "../../src/telemetry/redaction.ts"

class Failed extends Data.TaggedError("Failed")<{ readonly reason: string; readonly password: string }> {}

const thrownBy = (code: () => unknown): unknown => {
  try {
    return code()
  } catch (error) {
    return error
  }
}

describe("what was thrown", () => {
  const table: ReadonlyArray<readonly [name: string, thrown: unknown, text: string]> = [
    ["an error is its message", new TypeError("no such thing"), "TypeError: no such thing"],
    [
      "one of ours is its reason, not its fields",
      new Failed({ reason: "why", password: "canary" }),
      "Failed: why"
    ],
    ["a text is its kind", "canary", "string"],
    ["an object is its kind", { password: "canary" }, "object"],
    ["a tagged one is its tag", { _tag: "Oops", password: "canary" }, "Oops"],
    ["bytes are their kind", Buffer.from("canary"), "object"],
    [
      "what could not be read is not quoted",
      thrownBy(() => JSON.parse("canary")),
      "SyntaxError: what was read is not shown"
    ],
    ["a secret is not quoted", new TypeError("wrong: hunter2!"), "TypeError: wrong: <redacted>!"],
    [
      "a URL goes without user and query",
      new TypeError("at https://u:p@h/a?t=1"),
      "TypeError: at https://h/a"
    ]
  ]
  test.each(table)("%s", (_, thrown, text) => {
    expect(errorText(thrown, ["hunter2"])).toBe(text)
  })

  test("is shown in a cause with its stack and what caused it, without what they quote", () => {
    const inner = new TypeError("hunter2", { cause: { password: "canary" } })
    const cause = Cause.parallel(
      Cause.fail(inner),
      Cause.die(new RangeError("out of hunter2", { cause: inner }))
    )
    const text = Cause.pretty(loggable(cause, ["hunter2"]), { renderErrorCause: true })
    expect(text).toContain("out of <redacted>")
    expect(text).toContain("redaction.test.ts")
    expect(text).not.toMatch(/hunter2|canary/)
  })

  test("a failure that is a text stays it, but for secrets", () => {
    expect(Cause.pretty(loggable(Cause.fail("no hunter2"), ["hunter2"]))).toBe("Error: no <redacted>")
    expect(Cause.pretty(loggable(Cause.die("canary")))).toBe("Error: string")
  })

  test("an interruption stays one", () => {
    const cause = loggable(Cause.interrupt(undefined as never))
    expect(Cause.isInterruptedOnly(cause)).toBe(true)
    expect(Cause.isEmpty(loggable(Cause.empty))).toBe(true)
  })
})

describe("a value that is logged", () => {
  const circular: Record<string, unknown> = { a: 1 }
  circular.self = circular
  const table: ReadonlyArray<readonly [name: string, value: unknown, shown: unknown]> = [
    ["a text", "text", "text"],
    ["numbers and the like", [1, true, null, 5n], [1, true, null, "5"]],
    ["a secret", Redacted.make("canary"), "<redacted>"],
    ["bytes", { source: Buffer.from("canary") }, { source: "6 bytes" }],
    [
      "texts and bytes under names of secrets",
      {
        Password: "canary",
        authorization: "canary",
        payload: Buffer.from("canary"),
        accessToken: { a: "canary" }
      },
      {
        Password: "<redacted>",
        authorization: "<redacted>",
        payload: "<redacted>",
        accessToken: "<redacted>"
      }
    ],
    [
      "numbers under such names",
      { payloadBytes: 5, tokens: 3, hasPassword: true },
      { payloadBytes: 5, tokens: 3, hasPassword: true }
    ],
    ["an error", { problem: new TypeError("why") }, { problem: "TypeError: why" }],
    ["a function", { run: () => "canary" }, { run: "function" }],
    ["what has no end", circular, { a: 1, self: { a: 1, self: { a: 1, self: { a: 1, self: "…" } } } }]
  ]
  test.each(table)("%s", (_, value, shown) => {
    expect(loggableValue(value)).toEqual(shown)
  })
})
