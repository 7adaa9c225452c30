import { describe, expect, test } from "bun:test"
import * as fc from "effect/FastCheck"
import type { Qos } from "../../src/protocol/Packet.ts"
import { AckLedger } from "../../src/session/AckLedger.ts"

type Row = [qos: Qos, packetId: number, reasonCode: number | undefined]

type Step =
  | { readonly _tag: "Expect"; readonly qos: Qos; readonly id: number }
  | { readonly _tag: "ExpectRepeated"; readonly id: number }
  | { readonly _tag: "ExpectSettled"; readonly qos: Qos; readonly id: number; readonly code: number }
  | { readonly _tag: "Settle"; readonly id: number; readonly code: number }
  | { readonly _tag: "Release" }

const qos = fc.constantFrom<Qos>(1, 2)
const id = fc.constantFrom(1, 2, 3, 32_768, 65_535)
const code = fc.constantFrom(0, 0x10, 0x80, 0x97, 0xff)

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ _tag: fc.constant("Expect" as const), qos, id }),
  fc.record({ _tag: fc.constant("ExpectRepeated" as const), id }),
  fc.record({ _tag: fc.constant("ExpectSettled" as const), qos, id, code }),
  fc.record({ _tag: fc.constant("Settle" as const), id, code }),
  fc.record({ _tag: fc.constant("Settle" as const), id, code }),
  fc.constant({ _tag: "Release" } as const)
)

const release = (ledger: AckLedger): ReadonlyArray<Row> => {
  const written: Array<Row> = []
  ledger.release((...row) => written.push(row))
  return written
}

const releaseModel = (rows: Array<Row>): ReadonlyArray<Row> => {
  const pending = rows.findIndex(([, , reasonCode]) => reasonCode === undefined)
  return rows.splice(0, pending < 0 ? rows.length : pending)
}

describe("the ledger of acknowledgements owed", () => {
  test("[v3 MQTT-4.6.0-2] [v3 MQTT-4.6.0-3] releases in the order of PUBLISH whatever the order of the outcomes", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120, size: "max" }), (steps) => {
        const ledger = new AckLedger()
        const rows: Array<Row> = []
        const repeated = new Set<Row>()
        for (const each of steps) {
          switch (each._tag) {
            case "Expect":
              ledger.expect(each.qos, each.id)
              rows.push([each.qos, each.id, undefined])
              break
            case "ExpectRepeated": {
              ledger.expectRepeated(each.id)
              const row: Row = [2, each.id, undefined]
              repeated.add(row)
              rows.push(row)
              break
            }
            case "ExpectSettled":
              ledger.expectSettled(each.qos, each.id, each.code)
              rows.push([each.qos, each.id, each.code])
              break
            case "Settle": {
              ledger.settle(each.id, each.code)
              const waiting = rows.filter(([, packetId, code]) => packetId === each.id && code === undefined)
              // The first, and what repeats it until another message takes the identifier.
              const next = waiting.findIndex((row, index) => index > 0 && !repeated.has(row))
              for (const row of next < 0 ? waiting : waiting.slice(0, next)) row[2] = each.code
              break
            }
            case "Release":
              expect(release(ledger)).toEqual(releaseModel(rows))
              break
          }
          expect(ledger.length).toBe(rows.length)
        }
        expect(release(ledger)).toEqual(releaseModel(rows))
      }),
      { numRuns: 300, seed: 1 }
    )
  })

  test("the order holds over thousands that are never all settled", () => {
    const ledger = new AckLedger()
    const written: Array<number> = []
    ledger.expect(1, 1)
    for (let next = 2; next <= 5000; next++) {
      ledger.expect(1, next)
      ledger.settle(next - 1, 0)
      ledger.release((_qos, packetId) => written.push(packetId))
      expect(ledger.length).toBe(1)
    }
    expect(written).toEqual(Array.from({ length: 4999 }, (_, index) => index + 1))
    expect(JSON.stringify(ledger).length).toBeLessThan(20_000)
  })
})
