/**
 * What a message costs in a broker of one tenant and in one of 10,000: two brokers in turn, with the same
 * number of clients, each idle but for those that a few or a tenth of the tenants have at work.
 */

import { join } from "node:path"
import type { Subprocess } from "bun"
import { Rota } from "../LoadClient.ts"
import { connectAll, leaveAll } from "./clients.ts"
import { type FlowOptions, Traffic } from "./flows.ts"
import type { CapacityOptions, CapacityRow, CapacityScenario } from "./list.ts"
import { answer, apart, costsInTurn, limited, type Measure } from "./measurement.ts"
import { Subject } from "./Subject.ts"

const ratioGoal = 1.2

/** Which tenant a client belongs to. */
type Tenancy = (client: number) => string
const tenancies: ReadonlyArray<Tenancy> = [() => "t0", (client) => `t${client}`]

const measure: Measure = async (options) => {
  const count = options.quick ? 200 : 10_000
  const subjects: Array<Subject> = []
  const crowds: Array<Subprocess> = []
  const rows: Array<CapacityRow> = []
  for (const tenancy of tenancies) {
    const subject = await Subject.start({ pin: options.brokerPin })
    const before = await subject.restingBytes()
    const clientIds = Array.from({ length: count }, (_, client) => `${tenancy(client)}|idle-${client}`)
    crowds.push(await hold(subject, clientIds, options))
    const bytes = ((await subject.restingBytes()) - before) / count
    const label = `a client${tenancy(1) === "t1" ? " with a tenant of its own" : " of one tenant"}: resident`
    rows.push({ label, value: bytes / 1024, unit: "KB" })
    subjects.push(subject)
  }
  const busy = options.quick ? 20 : 1000
  for (const qos of [0, 1] as const) {
    rows.push(...(await compare(subjects, { qos, count: 20, window: 250 }, options)))
    rows.push(...(await compare(subjects, { qos, count: busy, window: 20 }, options)))
  }
  for (const crowd of crowds) crowd.kill("SIGKILL")
  await Promise.all(subjects.map((subject) => subject.stop()))
  return rows
}

/** Idle clients, in a process of their own: a process may have only so many sockets. */
const hold = async (
  subject: Subject,
  clientIds: ReadonlyArray<string>,
  { generatorPin }: CapacityOptions
): Promise<Subprocess> => {
  const command = [...generatorPin, process.execPath, join(import.meta.dir, "hold.ts")]
  const stdin = new Blob([JSON.stringify({ port: subject.port, clientIds })])
  const child = Bun.spawn(command, { stdin, stdout: "pipe", stderr: "inherit" })
  await child.stdout.getReader().read()
  return child
}

interface Work {
  readonly qos: 0 | 1
  /** Publishers, each with a subscriber, and tenants at work where there are many. */
  readonly count: number
  readonly window: number
}

const compare = async (
  subjects: ReadonlyArray<Subject>,
  { count, qos, window }: Work,
  options: CapacityOptions
): Promise<ReadonlyArray<CapacityRow>> => {
  const rota = new Rota()
  const flow = (tenancy: Tenancy, index: number): FlowOptions => {
    const topic = `flow/${index}`
    const tenant = tenancy(index)
    const name = `${qos}-${count}-${index}`
    return { tenant, name, qos, topics: [topic], filter: topic, payloadBytes: 64, window, rate: 0 }
  }
  const sides = subjects.map((subject, side) => {
    const tenancy = tenancies[side] ?? (() => "")
    return {
      subject,
      traffic: new Traffic(
        rota,
        Array.from({ length: count }, (_, i) => flow(tenancy, i))
      )
    }
  })
  for (const { subject, traffic } of sides) await connectAll(traffic.clients, subject.port)
  const [one, many] = await costsInTurn(sides, options.quick ? 1 : 3, options.quick ? 0.2 : 0.6)
  for (const { traffic } of sides) await leaveAll(traffic.clients)
  if (one === undefined || many === undefined) throw new Error("nothing was compared")
  const name = `QoS ${qos}, ${count} flows:`
  const row = (label: string, value: number, unit: string) => ({ label: `${name} ${label}`, value, unit })
  return [
    row("CPU in one tenant", one.cpuUs, "µs"),
    row("CPU in a tenant each", many.cpuUs, "µs"),
    limited(row("grows to", many.cpuUs / one.cpuUs, "x"), ratioGoal, options)
  ]
}

export const manyTenants: CapacityScenario = {
  kind: "capacity",
  name: "tenants",
  goal: "a message costs at most 20 % more in a broker of 10,000 tenants than in one of a single tenant",
  run: apart(import.meta.path)
}

if (import.meta.main) await answer(measure)
