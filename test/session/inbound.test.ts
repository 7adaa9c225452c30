import { describe, expect, test } from "bun:test"
import * as Effect from "effect/Effect"
import { allowAll } from "../../src/auth/Authorizer.ts"
import { ReasonCode } from "../../src/protocol/ReasonCode.ts"
import type { TenantSettings } from "../../src/tenant/TenantSettings.ts"
import { Machine, type Output, topicOf } from "./Machine.ts"

/** What was said and done, in short: `Puback 1 0x10`, `Routed 1`. */
const shortly = (output: Output): string => {
  switch (output._tag) {
    case "Puback":
    case "Pubrec":
    case "Pubrel":
    case "Pubcomp":
      return `${output._tag} ${output.packetId}${output.reasonCode === 0 ? "" : ` 0x${output.reasonCode.toString(16)}`}`
    case "Routed":
      return `Routed ${output.publication.packetId}`
    case "Close":
      return `Close 0x${output.reasonCode.toString(16)}`
    default:
      return output._tag
  }
}

const said = (machine: Machine): ReadonlyArray<string> => machine.all().map(shortly)

const connected = (settings: Partial<TenantSettings> = {}, version: 4 | 5 = 5): Machine => {
  const machine = new Machine(settings)
  machine.connect({ version, properties: version === 5 ? { sessionExpiryInterval: 60 } : {} })
  machine.all()
  return machine
}

/** A client comes back without the ones before having said good-bye. */
const reconnect = (machine: Machine, clean = false): void => {
  machine.lose()
  machine.connect({ clean, properties: { sessionExpiryInterval: 60 } })
  machine.all()
}

const routed = (machine: Machine) => {
  const [output] = machine.take("Routed")
  if (output === undefined) throw new Error("nothing was routed")
  return output.publication
}

describe("acknowledging what a client publishes", () => {
  test("[MQTT-4.3.2-4] [MQTT-4.3.3-8] nothing is acknowledged before the router is done with it", () => {
    const machine = connected()
    machine.publish({ qos: 1, packetId: 1 })
    machine.publish({ qos: 2, packetId: 2 })
    expect(said(machine)).toEqual(["Routed 1", "Routed 2"])
  })

  test("[MQTT-4.6.0-2] [MQTT-4.6.0-3] in the order of PUBLISH, with what the router said", () => {
    const machine = connected()
    machine.publish({ qos: 1, packetId: 1 })
    machine.publish({ qos: 2, packetId: 2 })
    machine.publish({ qos: 1, packetId: 3 })
    const publications = machine.take("Routed").map((output) => output.publication)
    for (const publication of publications.toReversed()) machine.outcome(publication, 0x10)
    expect(said(machine)).toEqual(["Puback 1 0x10", "Pubrec 2 0x10", "Puback 3 0x10"])
  })

  test("[MQTT-4.3.3-10] a QoS 2 message is routed once until its PUBREL, then the identifier is another's", () => {
    const machine = connected()
    machine.publish({ qos: 2, packetId: 7 })
    machine.outcome(routed(machine))
    machine.publish({ qos: 2, packetId: 7, dup: true })
    machine.pubrel(7)
    machine.publish({ qos: 2, packetId: 7 })
    expect(said(machine)).toEqual(["Pubrec 7", "Pubrec 7", "Pubcomp 7", "Routed 7"])
  })

  test("[MQTT-4.3.3-10] also when the repetition comes on another connection", () => {
    const machine = connected()
    machine.publish({ qos: 2, packetId: 7 })
    machine.outcome(routed(machine))
    reconnect(machine)
    machine.publish({ qos: 2, packetId: 7, dup: true })
    expect(said(machine)).toEqual(["Pubrec 7"])
  })

  test("[MQTT-4.3.3-8] a repetition waits like the first for the router, which is not done with it", () => {
    const machine = connected()
    machine.publish({ qos: 2, packetId: 7 })
    const publication = routed(machine)
    reconnect(machine)
    machine.publish({ qos: 2, packetId: 7, dup: true })
    expect(said(machine)).toEqual([])
    machine.outcome(publication)
    expect(said(machine)).toEqual(["Pubrec 7"])
  })

  test("[MQTT-4.3.3-9] a repetition hears what the first would have heard, and a refusal frees the identifier", () => {
    const machine = connected()
    machine.publish({ qos: 2, packetId: 7 })
    const refused = routed(machine)
    machine.lose()
    machine.outcome(refused, 0x80)
    machine.connect({ properties: { sessionExpiryInterval: 60 }, clean: false })
    machine.all()
    machine.publish({ qos: 2, packetId: 7, dup: true })
    expect(said(machine)).toEqual(["Pubrec 7 0x80"])
    machine.publish({ qos: 2, packetId: 7 })
    expect(said(machine)).toEqual(["Routed 7"])
  })

  test("[MQTT-4.3.3-8] a QoS 2 message that the router had no room for when its client went is not taken for known", () => {
    const machine = connected()
    machine.routerHasSpace = false
    machine.publish({ qos: 2, packetId: 7 })
    expect(machine.state.parked?._tag).toBe("Room")
    reconnect(machine)
    machine.routerHasSpace = true
    machine.publish({ qos: 2, packetId: 7, dup: true })
    expect(said(machine)).toEqual(["Routed 7"])
  })

  test("[MQTT-4.3.2-4] the outcome of an earlier connection's message does not acknowledge this one's", () => {
    const machine = connected()
    machine.publish({ qos: 1, packetId: 1 })
    const earlier = routed(machine)
    reconnect(machine, true)
    machine.publish({ qos: 1, packetId: 1 })
    machine.publish({ qos: 2, packetId: 2 })
    const [first, second] = machine.take("Routed")
    machine.outcome(earlier)
    expect(said(machine)).toEqual([])
    if (first === undefined || second === undefined) throw new Error("not routed")
    machine.outcome(first.publication)
    machine.outcome(second.publication)
    expect(said(machine)).toEqual(["Puback 1", "Pubrec 2"])
  })

  test("[MQTT-4.3.3-9] a refused QoS 2 message leaves its identifier free", () => {
    const machine = connected()
    machine.publish({ qos: 2, packetId: 7 })
    machine.outcome(routed(machine), 0x97)
    machine.publish({ qos: 2, packetId: 7 })
    expect(said(machine)).toEqual(["Pubrec 7 0x97", "Routed 7"])
  })

  test("[MQTT-4.3.3-11] PUBREL of an unknown identifier is answered, and says so", () => {
    const machine = connected()
    machine.pubrel(9)
    expect(said(machine)).toEqual(["Pubcomp 9 0x92"])
  })
})

describe("how much a client may have under way", () => {
  test("[MQTT-3.3.4-7] one message more than Receive Maximum closes the connection of version 5", () => {
    const machine = connected({ receiveMaximum: 2 })
    machine.publish({ qos: 1, packetId: 1 })
    machine.publish({ qos: 2, packetId: 2 })
    machine.publish({ qos: 2, packetId: 2, dup: true })
    machine.publish({ qos: 0 })
    expect(said(machine)).toEqual(["Routed 1", "Routed 2", "Routed 0"])
    machine.publish({ qos: 1, packetId: 3 })
    expect(said(machine)).toEqual(["Close 0x93"])
  })

  test("[MQTT-3.3.4-7] PUBACK, and PUBCOMP but not PUBREC, make room for another", () => {
    const machine = connected({ receiveMaximum: 1 })
    machine.publish({ qos: 1, packetId: 1 })
    machine.outcome(routed(machine))
    machine.publish({ qos: 2, packetId: 2 })
    machine.outcome(routed(machine))
    machine.pubrel(2)
    machine.publish({ qos: 2, packetId: 3 })
    machine.outcome(routed(machine))
    machine.publish({ qos: 1, packetId: 4 })
    expect(said(machine)).toEqual(["Puback 1", "Pubrec 2", "Pubcomp 2", "Pubrec 3", "Close 0x93"])
  })

  test("Receive Maximum begins anew with a connection, whatever was left unreleased (4.9)", () => {
    const machine = connected({ receiveMaximum: 1 })
    machine.publish({ qos: 2, packetId: 1 })
    machine.outcome(routed(machine))
    reconnect(machine)
    machine.publish({ qos: 2, packetId: 2 })
    machine.outcome(routed(machine))
    expect(said(machine)).toEqual(["Pubrec 2"])
    machine.publish({ qos: 2, packetId: 3 })
    expect(said(machine)).toEqual(["Close 0x93"])
  })

  test("an earlier version, which cannot be told a maximum, is read no further until some are acknowledged", () => {
    const machine = connected({ receiveMaximum: 2 }, 4)
    machine.publish({ qos: 1, packetId: 1 })
    expect(machine.state.parked).toBeUndefined()
    machine.publish({ qos: 1, packetId: 2 })
    expect(machine.state.parked?._tag).toBe("Acknowledgements")
    const [first] = machine.take("Routed")
    if (first === undefined) throw new Error("not routed")
    machine.outcome(first.publication)
    expect(machine.state.parked).toBeUndefined()
    expect(said(machine)).toEqual(["Puback 1"])
  })
})

describe("refusing a PUBLISH", () => {
  const noPublish = { ...allowAll, publish: () => false }
  const refusals: ReadonlyArray<{
    readonly name: string
    readonly settings?: Partial<TenantSettings>
    readonly permissions?: typeof allowAll
    readonly packet: Parameters<Machine["publish"]>[0]
    readonly expected: ReadonlyArray<string>
  }> = [
    { name: "QoS 0 without permission", permissions: noPublish, packet: {}, expected: ["Refused"] },
    {
      name: "QoS 1 without permission",
      permissions: noPublish,
      packet: { qos: 1, packetId: 1 },
      expected: ["Refused", "Puback 1 0x87"]
    },
    {
      name: "QoS 2 without permission",
      permissions: noPublish,
      packet: { qos: 2, packetId: 1 },
      expected: ["Refused", "Pubrec 1 0x87"]
    },
    {
      name: "the server's own topics",
      packet: { qos: 1, packetId: 1, topic: topicOf("$SYS/uptime") },
      expected: ["Refused", "Puback 1 0x87"]
    },
    {
      name: "a topic with too many levels",
      settings: { topicLevelsMax: 2 },
      packet: { qos: 1, packetId: 1, topic: topicOf("a/b/c") },
      expected: ["Refused", "Puback 1 0x90"]
    },
    {
      name: "[MQTT-3.2.2-11] a QoS above Maximum QoS",
      settings: { maximumQos: 0 },
      packet: { qos: 1, packetId: 1 },
      expected: ["Close 0x9b"]
    },
    {
      name: "[MQTT-3.2.2-14] RETAIN where it is not available",
      settings: { retainAvailable: false },
      packet: { retain: true },
      expected: ["Close 0x9a"]
    },
    {
      name: "[MQTT-3.2.2-17] a topic alias above Topic Alias Maximum",
      settings: { topicAliasMaximum: 2 },
      packet: { topicAlias: 3 },
      expected: ["Close 0x94"]
    },
    {
      name: "a topic alias that was never set (3.3.2.3.4)",
      packet: { topicAlias: 1, topic: topicOf("") },
      expected: ["Close 0x82"]
    }
  ]
  test.each(refusals)("$name", ({ expected, packet, permissions = allowAll, settings }) => {
    const machine = new Machine(settings)
    machine.connect({ permissions })
    machine.all()
    machine.publish(packet)
    expect(said(machine)).toEqual([...expected])
  })

  test("a decision that suspends parks the message; its answer routes or refuses it", () => {
    const machine = new Machine()
    machine.connect({ permissions: { ...allowAll, publish: () => Effect.succeed(true) } })
    machine.all()
    machine.publish({ qos: 1, packetId: 1 })
    expect(said(machine)).toEqual(["Decide"])
    expect(machine.state.parked?._tag).toBe("Publish")
  })
})

describe("topic aliases of a client", () => {
  test("[MQTT-3.3.2-7] are forgotten with the connection", () => {
    const machine = connected()
    machine.publish({ topicAlias: 1, topic: topicOf("a") })
    machine.publish({ topicAlias: 1, topic: topicOf("") })
    expect(machine.take("Routed").map((output) => output.publication.topic.name)).toEqual(["a", "a"])
    reconnect(machine)
    machine.publish({ topicAlias: 1, topic: topicOf("") })
    expect(said(machine)).toEqual(["Close 0x82"])
  })

  test("[MQTT-3.3.2-12] an alias can be given another topic", () => {
    const machine = connected()
    for (const name of ["a", "", "b", ""]) machine.publish({ topicAlias: 1, topic: topicOf(name) })
    expect(machine.take("Routed").map((output) => output.publication.topic.name)).toEqual([
      "a",
      "a",
      "b",
      "b"
    ])
  })
})

test("[v3 MQTT-4.3.3-2] a message that could not be stored while its client was away is taken when it is repeated", () => {
  const machine = new Machine()
  const terms = { version: 4, clean: false } as const
  machine.connect(terms)
  machine.publish({ qos: 2, packetId: 7 })
  const [lost] = machine.take("Routed")
  machine.lose()
  machine.outcome(lost!.publication, ReasonCode.UnspecifiedError)
  machine.connect(terms)
  machine.publish({ qos: 2, packetId: 7, dup: true })
  const [again] = machine.take("Routed")
  machine.all()
  machine.outcome(again!.publication)
  expect(said(machine)).toEqual(["Pubrec 7"])
})
