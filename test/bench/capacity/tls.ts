/**
 * TLS: what an idle connection holds, what a handshake costs, and a message, beside TCP. The floor is Bun's
 * own TLS server with the same clients and no broker around it.
 */

import { isOpensslAvailable, testCertificates } from "../../support/certificates.ts"
import { Rota } from "../LoadClient.ts"
import { connectAll, Holder, leaveAll } from "./clients.ts"
import { type FlowOptions, Traffic } from "./flows.ts"
import type { CapacityOptions, CapacityRow, CapacityScenario } from "./list.ts"
import { answer, apart, costsInTurn, limited, type Measure } from "./measurement.ts"
import { Subject, type SubjectOptions } from "./Subject.ts"

const kilobytesGoal = 30

const measure: Measure = async (options) => {
  if (!isOpensslAvailable) throw new Error("there is no openssl to make a certificate with")
  const tls = testCertificates().server
  const pin = options.brokerPin
  return [
    ...(await idle("over TCP", { pin }, options)),
    ...(await idle("over TLS in a bare Bun server", { pin, tls, program: "bareTls.ts" }, options)),
    ...(await idle("over TLS", { pin, tls }, options)),
    ...(await messages(tls, options))
  ]
}

/** A thousand come first: what the process needs once is not counted. */
const idle = async (
  name: string,
  how: SubjectOptions,
  options: CapacityOptions
): Promise<ReadonlyArray<CapacityRow>> => {
  const subject = await Subject.start(how)
  const rota = new Rota()
  const clientsOf = (group: string, count: number) =>
    Array.from({ length: count }, (_, index) => {
      const clientId = `a|${group}-${index}`
      return new Holder(rota, { clientId, version: 4, tls: how.tls !== undefined })
    })
  const first = clientsOf("first", options.quick ? 50 : 1000)
  await connectAll(first, subject.port)
  const before = await subject.restingBytes()
  const { cpuUs } = subject.usage
  const clients = clientsOf("idle", options.quick ? 100 : 3000)
  await connectAll(clients, subject.port)
  const connectUs = (subject.usage.cpuUs - cpuUs) / clients.length
  const grown = (subject.usage.residentBytes - before) / clients.length / 1024
  const resting = ((await subject.restingBytes()) - before) / clients.length / 1024
  await leaveAll([...first, ...clients])
  await subject.stop()
  const row = (label: string, value: number, unit: string) => ({ label: `${name}: ${label}`, value, unit })
  const held = row("resident for an idle connection", resting, "KB")
  const isOurs = how.tls !== undefined && how.program === undefined
  return [
    isOurs ? limited(held, kilobytesGoal, options) : held,
    row("the same before a collection", grown, "KB"),
    row("CPU to connect", connectUs, "µs")
  ]
}

const messages = async (
  tls: { readonly cert: string; readonly key: string },
  options: CapacityOptions
): Promise<ReadonlyArray<CapacityRow>> => {
  const pin = options.brokerPin
  const subjects = [await Subject.start({ pin }), await Subject.start({ pin, tls })]
  const rota = new Rota()
  const flow = (index: number, side: number): FlowOptions => {
    const topic = `flow/${index}`
    const base = { tenant: "a", name: `${index}`, topics: [topic], filter: topic, payloadBytes: 64 }
    return { ...base, qos: 0, window: 250, rate: 0, tls: side === 1 }
  }
  const sides = subjects.map((subject, side) => ({
    subject,
    traffic: new Traffic(
      rota,
      Array.from({ length: 20 }, (_, index) => flow(index, side))
    )
  }))
  for (const { subject, traffic } of sides) await connectAll(traffic.clients, subject.port)
  const [plain, secure] = await costsInTurn(sides, options.quick ? 1 : 3, options.quick ? 0.2 : 0.8)
  for (const { traffic } of sides) await leaveAll(traffic.clients)
  await Promise.all(subjects.map((subject) => subject.stop()))
  return [
    { label: "CPU of a message over TCP", value: plain?.cpuUs ?? 0, unit: "µs" },
    { label: "CPU of a message over TLS", value: secure?.cpuUs ?? 0, unit: "µs" }
  ]
}

export const tlsConnections: CapacityScenario = {
  kind: "capacity",
  name: "tls",
  goal: "an idle TLS connection holds at most 30 KB",
  run: apart(import.meta.path)
}

if (import.meta.main) await answer(measure)
