/** SUBSCRIBE and UNSUBSCRIBE on their way through the router, over a real broker. */

import { describe, expect, spyOn, test } from "bun:test"
import { Router } from "../../src/router/Router.ts"
import { concat, properties, type RawConnect, raw } from "../support/raw.ts"
import { SlowJournal } from "../support/slowJournal.ts"
import { withBroker } from "../support/testBroker.ts"

const lasting = (clientId: string): RawConnect => ({
  version: 5,
  clientId,
  clean: false,
  properties: properties.sessionExpiryInterval(60)
})

describe("UNSUBACK", () => {
  for (const version of [4, 5] as const) {
    test(`[MQTT-3.10.4-2] nothing is added behind it, version ${version}`, () =>
      withBroker({}, async (broker) => {
        const client = await broker.connect({ version, clientId: "c" })
        const publisher = await broker.connect({ version, clientId: "p" })
        await client.subscribe("t")
        // Read in one turn with what comes before and behind it.
        const message = (payload: string) => raw.publish({ version, topic: "t", payload })
        publisher.wire.write(concat(...["1", "2", "3"].map(message)))
        client.wire.write(raw.unsubscribe({ version, packetId: 2, filters: ["t"] }))
        publisher.wire.write(concat(...["4", "5", "6"].map(message)))
        const before: Array<string> = []
        let packet = await client.next()
        for (; packet?.cmd === "publish"; packet = await client.next()) before.push(packet.payload.toString())
        expect(packet?.cmd).toBe("unsuback")
        expect(before).toEqual(["1", "2", "3", "4", "5", "6"].slice(0, before.length))
        await publisher.publish("t", "7")
        await client.quiet()
      }))
  }

  test("[MQTT-3.10.4-1] waits for the record and for the router, also one that repeats another", () => {
    const journal = new SlowJournal()
    return withBroker({ storage: journal.layer }, async (broker) => {
      const client = await broker.connect(lasting("c"))
      await client.subscribe("t")
      journal.isSlow = true
      await client.send(
        raw.unsubscribe({ version: 5, packetId: 2, filters: ["t"] }),
        raw.unsubscribe({ version: 5, packetId: 3, filters: ["t", "never"] })
      )
      await broker.settle()
      await client.quiet()
      journal.settle()
      const answers = [await client.expect("unsuback"), await client.expect("unsuback")]
      expect(answers.map(({ granted, messageId }) => [messageId, granted])).toEqual([
        [2, [0]],
        [3, [0x11, 0x11]]
      ])
    })
  })
})

describe("a client that loops over SUBSCRIBE and UNSUBSCRIBE", () => {
  test("is not read while the router has hundreds of its filters to take, and loses nothing", () =>
    withBroker({}, async (broker) => {
      const client = await broker.connect({ version: 5, clientId: "c" })
      const rounds = 3000
      const packets = Array.from({ length: rounds }, (_, round) =>
        concat(
          raw.subscribe({ version: 5, packetId: 2 * round + 1, filters: [[`t/${round % 7}`, 1]] }),
          raw.unsubscribe({ version: 5, packetId: 2 * round + 2, filters: [`t/${round % 7}`] })
        )
      )
      let [under, most] = [0, 0]
      const { signal, turn } = Router.prototype
      const asked = spyOn(Router.prototype, "signal").mockImplementation(function (this: Router, message) {
        most = Math.max(most, ++under)
        signal.call(this, message)
      })
      const taken = spyOn(Router.prototype, "turn").mockImplementation(function (this: Router, mail, budget) {
        const spent = turn.call(this, mail, budget)
        under = mail.length
        return spent
      })
      await client.send(concat(...packets))
      const answers: Array<number> = []
      while (answers.length < 2 * rounds) {
        const packet = await client.next()
        expect(["suback", "unsuback"]).toContain(packet?.cmd ?? "closed")
        answers.push(packet?.messageId ?? 0)
      }
      for (const spy of [asked, taken]) spy.mockRestore()
      expect(answers.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 2 * rounds }, (_, at) => at + 1))
      expect(most).toBeLessThanOrEqual(256)
      expect(broker.broker.census()).toMatchObject({ subscriptions: 0, trieNodes: 0 })
    }))
})

describe("sharedGroupMembersMax", () => {
  for (const version of [4, 5] as const) {
    test(`one more is refused and held by nobody, version ${version}`, () =>
      withBroker({ settings: { sharedGroupMembersMax: 2 } }, async (broker) => {
        const knock = async (clientId: string) => {
          const client = await broker.connect({ version, clientId, clean: version === 5 })
          await client.send(
            raw.subscribe({
              version,
              packetId: 1,
              filters: [
                ["$share/g/t", 1],
                ["plain", 1]
              ]
            })
          )
          return client
        }
        // All at once: whoever is too late hears it from the router.
        const clients = await Promise.all(["a", "b", "c", "d"].map(knock))
        const granted = []
        for (const client of clients) granted.push((await client.expect("suback")).granted)
        const no = version === 5 ? 0x97 : 0x80
        expect(granted).toEqual([
          [1, 1],
          [1, 1],
          [no, 1],
          [no, 1]
        ])
        expect(broker.eventsOf("SubscribeRefused").map(({ clientId }) => clientId)).toEqual(["c", "d"])
        const [first, , third] = clients
        await first?.send(raw.unsubscribe({ version, packetId: 2, filters: ["$share/g/t"] }))
        await first?.expect("unsuback")
        await third?.send(raw.unsubscribe({ version, packetId: 2, filters: ["$share/g/t"] }))
        const answer = await third?.expect("unsuback")
        if (version === 5) expect(answer?.granted).toEqual([0x11])
        await third?.subscribe(["$share/g/t", 1])
        await first?.publish("t", "x")
        expect(broker.broker.counters("default")?.subscriptions).toBe(6)
      }))
  }
})
