/** Topic Names and Topic Filters (5.0, section 4.7), seen from outside. */

import { describe, expect, test } from "bun:test"
import { withBroker } from "../../support/testBroker.ts"
import { join, subscribe5, takeMessage } from "./client.ts"

describe("a filter is granted or refused", () => {
  const cases: ReadonlyArray<readonly [name: string, filters: ReadonlyArray<string>, granted: boolean]> = [
    ["[MQTT-4.7.1-1] # alone or behind a slash, at the end", ["#", "/#", "a/#", "a/b/#", "+/#"], true],
    ["[MQTT-4.7.1-1] # elsewhere", ["a#", "a/#/b", "#/", "##", "a/b#", "#a"], false],
    ["[MQTT-4.7.1-2] + as a whole level, anywhere", ["+", "+/a", "a/+", "a/+/b", "/+", "+/", "+/+"], true],
    ["[MQTT-4.7.1-2] + as a part of a level", ["a+", "+a", "a/b+", "a/+b/c", "++", "a/+#"], false],
    ["[MQTT-4.7.0-1] wildcards of both kinds together", ["+/a/#", "+/+/#"], true],
    ["[MQTT-4.7.3-1] one character is enough", ["a", "/", " "], true],
    [
      "[MQTT-4.7.3-4] whatever characters Unicode has",
      ["\ufeff", "\u{1f600}/é", "a b", "\uffff", "\u0085"],
      true
    ]
  ]
  for (const [name, filters, granted] of cases) {
    test(name, () =>
      withBroker({}, async (broker) => {
        const client = await join(broker, "c")
        const codes = await subscribe5(client, filters)
        expect(codes).toEqual(filters.map(() => (granted ? 0 : 0x8f)))
      })
    )
  }
})

describe("a message matches a filter", () => {
  const cases: ReadonlyArray<
    readonly [name: string, filter: string, yes: ReadonlyArray<string>, no: ReadonlyArray<string>]
  > = [
    [
      "[MQTT-4.7.1-1] # and the level above it",
      "sport/#",
      ["sport", "sport/a", "sport/a/b", "sport/"],
      ["sports", "Sport"]
    ],
    ["[MQTT-4.7.1-2] + and one level, empty or not", "a/+", ["a/b", "a/"], ["a", "a/b/c", "a/b/"]],
    ["[MQTT-4.7.1-2] + and the empty levels around a slash", "+/+", ["/x", "x/", "/"], ["x", "/x/"]],
    ["[MQTT-4.7.2-1] # and topics that begin with $", "#", ["a", "a/$b"], ["$a", "$a/b"]],
    ["[MQTT-4.7.2-1] + in front and topics that begin with $", "+/b", ["a/b"], ["$a/b"]],
    ["[MQTT-4.7.2-1] a filter that names the $ level", "$a/#", ["$a", "$a/b"], ["a/b"]],
    ["[MQTT-4.7.3-4] letters as they are, not folded", "Maße", ["Maße"], ["maße", "MASSE", "Masse"]],
    ["[MQTT-4.7.3-4] composed and decomposed letters differ", "caf\u00e9", ["caf\u00e9"], ["cafe\u0301"]],
    [
      "[MQTT-4.7.3-4] slashes are not merged, spaces not trimmed",
      "a//b ",
      ["a//b "],
      ["a/b ", "a//b", "/a//b "]
    ],
    ["[MQTT-4.7.3-4] dots and percent signs mean nothing", "a/../%2f", ["a/../%2f"], ["%2f", "a/..//"]]
  ]
  for (const [name, filter, yes, no] of cases) {
    test(name, () =>
      withBroker({}, async (broker) => {
        const client = await join(broker, "c")
        await client.subscribe(filter)
        const publisher = await join(broker, "p")
        for (const topic of [...no, ...yes]) await publisher.publish(topic, topic)
        for (const topic of yes) expect((await takeMessage(client, topic)).topic).toBe(topic)
        await client.quiet()
      })
    )
  }
})
