import { describe, expect, test } from "bun:test"
import { type BannerFacts, banner, inMemory } from "../../src/cli/banner.ts"

const facts: BannerFacts = {
  version: "1.2.3",
  listening: [
    { name: "tcp", transport: "tcp", address: "[::]:1883", port: 1883 },
    { name: "browser", transport: "ws", address: "ws://[::]:8083/mqtt", port: 8083 }
  ],
  storage: inMemory,
  authentication: { anonymous: "loopback", methods: [] }
}

type Anonymous = BannerFacts["authentication"]["anonymous"]

describe("the start-up banner", () => {
  test("says what listens where, what is stored where, who may connect, and how to try it", () => {
    expect(banner(facts).split("\n")).toEqual([
      "Heddle 1.2.3",
      "  listens  tcp      [::]:1883",
      "           browser  ws://[::]:8083/mqtt",
      "  stores   in memory: gone when the process ends",
      "  admits   clients on this machine; others are refused (authentication.anonymous is loopback)",
      "  try      mosquitto_sub -p 1883 -t 'hello/#' -v",
      "           mosquitto_pub -p 1883 -t hello/world -m 'it works'"
    ])
  })

  test("gives a hint for WebSockets when there is no TCP, and none when there is neither", () => {
    const [, ws] = facts.listening
    expect(banner({ ...facts, listening: [ws!] })).toContain("npx mqtt sub -l ws -p 8083 --path /mqtt -t")
    const unix = { name: "unix", transport: "unix", address: "/run/heddle.sock", port: 0 } as const
    expect(banner({ ...facts, listening: [unix] })).not.toContain("  try ")
  })

  test("does not hide that everyone may connect", () => {
    const text = (anonymous: Anonymous, ...methods: BannerFacts["authentication"]["methods"]) =>
      banner({ ...facts, authentication: { anonymous, methods } })
    expect(text("always")).toContain("everyone")
    expect(text("never")).toEndWith("nobody (authentication.anonymous is never)")
    expect(text("never", "password-file")).toEndWith("admits   clients that authenticate by password-file")
    expect(text("always", "password-file")).toContain("by password-file; without credentials everyone")
    expect(text("loopback", "password-file")).toContain("without credentials clients on this machine")
  })
})
