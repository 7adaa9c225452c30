/**
 * Subscribers that stop reading: what the others' messages cost, and what the broker holds for them.
 *
 * Ten flows, each with its own subscriber, and besides ten subscribers to all of them that read, and do not
 * count, or have stopped reading, or are not there. One that does not read should cost less than one that
 * does, and flows that it has not subscribed to nothing at all.
 */

import { Rota } from "../LoadClient.ts"
import { connectAll, Deaf, leaveAll } from "./clients.ts"
import { type FlowOptions, Traffic } from "./flows.ts"
import type { CapacityOptions, CapacityRow, CapacityScenario } from "./list.ts"
import { answer, apart, costsInTurn, limited, type Measure, megabytes, type Side } from "./measurement.ts"
import { Subject } from "./Subject.ts"

const deafCount = 10
const ratioGoal = 1.2
const bytesGoal = 4

const flowsOf = (branch: string): ReadonlyArray<FlowOptions> =>
  Array.from({ length: 10 }, (_, index) => {
    const topic = `${branch}/${index}`
    const name = `${branch}-${index}`
    return {
      tenant: "a",
      name,
      qos: 0,
      topics: [topic],
      filter: topic,
      payloadBytes: 64,
      window: 250,
      rate: 0
    }
  })

const measure: Measure = async (options) => {
  const subjects: Array<Subject> = []
  for (let count = 0; count < 4; count++) subjects.push(await Subject.start({ pin: options.brokerPin }))
  const [without, reading, one, ten] = subjects
  if (without === undefined || reading === undefined || one === undefined || ten === undefined) return []
  const groups = [
    await listeners(reading, deafCount, false),
    await listeners(one, 1, true),
    await listeners(ten, deafCount, true)
  ]
  const connectedBytes = await ten.restingBytes()
  const rows = [
    ...(await compare([without, reading, one, ten], "heard", options)),
    ...(await compare([without, ten], "apart", options))
  ]
  const heldBytes = (await ten.restingBytes()) - connectedBytes
  rows.push(
    limited(row("resident for each of ten", megabytes(heldBytes) / deafCount, "MB"), bytesGoal, options)
  )
  for (const client of groups.flat()) client.readOn()
  await leaveAll(groups.flat())
  await Promise.all(subjects.map((subject) => subject.stop()))
  return rows
}

const row = (label: string, value: number, unit: string): CapacityRow => ({ label, value, unit })

const listeners = async (subject: Subject, count: number, isDeaf: boolean): Promise<ReadonlyArray<Deaf>> => {
  const rota = new Rota()
  const clients = Array.from(
    { length: count },
    (_, index) => new Deaf(rota, { clientId: `a|deaf-${index}`, version: 4 })
  )
  await connectAll(clients, subject.port)
  for (const client of clients) {
    await client.subscribe(["heard/#"])
    if (isDeaf) client.stopReading()
  }
  return clients
}

const compare = async (
  subjects: ReadonlyArray<Subject>,
  branch: "heard" | "apart",
  options: CapacityOptions
): Promise<ReadonlyArray<CapacityRow>> => {
  const rota = new Rota()
  const sides = subjects.map((subject): Side => ({ subject, traffic: new Traffic(rota, flowsOf(branch)) }))
  for (const { subject, traffic } of sides) await connectAll(traffic.clients, subject.port)
  const costs = await costsInTurn(sides, options.quick ? 1 : 3, options.quick ? 0.2 : 0.6)
  for (const { traffic } of sides) await leaveAll(traffic.clients)
  const [without, second, third, fourth] = costs
  if (without === undefined || second === undefined) return []
  if (third === undefined || fourth === undefined) {
    return [
      row("flows that they do not hear: CPU without them", without.cpuUs, "µs"),
      row("flows that they do not hear: CPU beside ten that do not read", second.cpuUs, "µs"),
      limited(
        row("flows that they do not hear: grows to", second.cpuUs / without.cpuUs, "x"),
        ratioGoal,
        options
      )
    ]
  }
  return [
    row("flows that they hear: CPU without them", without.cpuUs, "µs"),
    row("flows that they hear: CPU with ten that read", second.cpuUs, "µs"),
    row("flows that they hear: CPU with one that does not", third.cpuUs, "µs"),
    row("flows that they hear: CPU with ten that do not", fourth.cpuUs, "µs"),
    row("flows that they hear: rate without them", without.perSecond, "/s"),
    row("flows that they hear: rate with ten that do not read", fourth.perSecond, "/s"),
    limited(row("ten that do not read, against ten that do", fourth.cpuUs / second.cpuUs, "x"), 1, options)
  ]
}

export const stuckSubscribers: CapacityScenario = {
  kind: "capacity",
  name: "stuck-subscribers",
  goal: "a subscriber that stops reading costs less than one that reads, others nothing, and bounded memory",
  run: apart(import.meta.path)
}

if (import.meta.main) await answer(measure)
