import { expect, test } from "bun:test"
import { examples, runExample } from "../../examples/run.ts"

/** What each example must have said. A new example without a line here fails. */
const said: Readonly<Record<string, ReadonlyArray<string>>> = {
  "accessRules.ts": [
    "lamp at the door: ErrorWithReasonCode: Publish error: Not authorized",
    "devices/lamp/state: on"
  ],
  "customAuthentication.ts": ["ada received temperature: 21", "grace received humidity: 40", "stranger: "],
  "customStorage.ts": ["night/1: the owl hoots", "moon: full"],
  "embedded.ts": ["greetings/world: hello from inside"],
  "enhancedAuthentication.ts": ["connected by HMAC-NONCE: true"],
  "inMemory.ts": ["inside: no socket was harmed"],
  "oneTrace.ts": ["take an order\n  publish\n    route\n    deliver\n      ship the order\n"],
  "payloadSchema.ts": [
    '"celsius":11.5,"takenAt":"2026-11-22T20:00:00Z"}: taken',
    "PUBACK 0x99: the payload is not as it has to be: celsius: Expected a number between -60 and 60"
  ],
  "ratesFromDatabase.ts": ["acme: 40 messages taken", "hobby: 40 messages taken, 20 a second"],
  "redirect.ts": ["CONNACK 0x9c, go to eu.example.com:1883"],
  "tokens.ts": [
    "lamp published to lamps/1",
    "the first that globex hears of lamps/1: off",
    "lamp to doors/1: ErrorWithReasonCode: Publish error: Not authorized",
    "forged: ErrorWithReasonCode: Connection refused: Bad username or password",
    "the token has expired: 0xa0"
  ],
  "topicMount.ts": [
    "the broker has users/ada/lamp/state",
    "ada received lamp/state: on",
    "grace received lamp/state: off"
  ]
}

test.each([...examples])("example %s runs and says what it should", async (file) => {
  const { errors, exitCode, output } = await runExample(file)
  expect({ exitCode, errors }).toEqual({ exitCode: 0, errors: "" })
  expect(said[file] ?? []).not.toBeEmpty()
  for (const line of said[file] ?? []) expect(output).toContain(line)
})

test("in the authentication example no tenant sees another's messages", async () => {
  const { output } = await runExample("customAuthentication.ts")
  expect(output).not.toContain("ada received humidity")
  expect(output).not.toContain("grace received temperature")
})
