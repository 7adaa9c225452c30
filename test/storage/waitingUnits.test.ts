import { expect, test } from "bun:test"
import type { DurableRecord } from "../../src/storage/DurableRecord.ts"
import { Lane } from "../../src/storage/sqlite/Lane.ts"
import { WaitingUnits, waitingUnit } from "../../src/storage/sqlite/WaitingUnits.ts"

const unitOf = (tenant: string, clientId: string, position: number) => {
  const record: DurableRecord = { _tag: "Dequeue", tenant, clientId, epoch: 1, position }
  const how = { level: "os", mayWait: true, isRefusable: true, committed: () => undefined } as const
  return waitingUnit({ records: [record], ...how }, new Lane(tenant))
}

test("the units of one session are taken out, in their order", () => {
  const units = new WaitingUnits()
  const own = [unitOf("t", "c", 0), unitOf("t", "c", 1)] as const
  const others = [unitOf("t", "d", 0), unitOf("u", "c", 0)] as const
  for (const unit of [own[0], others[0], own[1], others[1]]) units.push(unit)
  expect(units.takeOf({ tenant: "t", clientId: "c" })).toEqual([...own])
  expect(units.units).toEqual([...others])
  expect([units.length, units.records]).toEqual([2, 2])
  expect(units.takeOf({ tenant: "t", clientId: "c" })).toEqual([])
})
