/**
 * What a message costs when everything looks at it: access rules, rates and windows, a policy; and when it
 * could be traced, and one in a hundred is.
 *
 * Fifty publishers and as many subscribers, one to one, as fast as they go, at QoS 0 and 1; brokers in turn.
 */

import { Rota } from "../LoadClient.ts"
import { connectAll, leaveAll } from "./clients.ts"
import { type FlowOptions, Traffic } from "./flows.ts"
import type { CapacityOptions, CapacityRow, CapacityScenario } from "./list.ts"
import { answer, apart, costsInTurn, limited, type Measure, type Side } from "./measurement.ts"
import { Subject } from "./Subject.ts"

const checksGoal = 1.15
const unsampledGoal = 1.03
const sampledGoal = 1.1

const flowsOf = (qos: 0 | 1): ReadonlyArray<FlowOptions> =>
  Array.from({ length: 50 }, (_, index) => {
    const topic = `sites/${index}/temperature`
    return {
      tenant: "a",
      name: `flow-${qos}-${index}`,
      qos,
      topics: [topic],
      filter: topic,
      payloadBytes: 64,
      window: qos === 0 ? 250 : 20,
      rate: 0
    }
  })

const measure: Measure = async (options) => {
  const { brokerPin: pin } = options
  // In the generator's process: what the collector does is not the broker's.
  const received = Bun.serve({ port: 0, fetch: () => new Response() })
  const collector = received.url.href
  const subjects = [
    await Subject.start({ pin }),
    await Subject.start({ pin, program: "checked.ts", checks: ["rules"] }),
    await Subject.start({ pin, program: "checked.ts", checks: ["rules", "limits", "policy"] }),
    await Subject.start({ pin, program: "checked.ts", checks: ["rules", "all limits", "policy"] }),
    await Subject.start({ pin, program: "checked.ts", checks: ["tracing"], collector }),
    await Subject.start({ pin, program: "checked.ts", checks: ["tracing", "sampling"], collector })
  ]
  const rows = [...(await compare(subjects, 0, options)), ...(await compare(subjects, 1, options))]
  await Promise.all(subjects.map((subject) => subject.stop()))
  await received.stop(true)
  return rows
}

const compare = async (
  subjects: ReadonlyArray<Subject>,
  qos: 0 | 1,
  options: CapacityOptions
): Promise<ReadonlyArray<CapacityRow>> => {
  const rota = new Rota()
  const sides = subjects.map((subject): Side => ({ subject, traffic: new Traffic(rota, flowsOf(qos)) }))
  for (const { subject, traffic } of sides) await connectAll(traffic.clients, subject.port)
  const costs = await costsInTurn(sides, options.quick ? 1 : 7, options.quick ? 0.2 : 1)
  for (const { traffic } of sides) await leaveAll(traffic.clients)
  const [plain, ruled, checked, crowded, unsampled, sampled] = costs
  if (!plain || !ruled || !checked || !crowded || !unsampled || !sampled) return []
  const ratio = (label: string, cpuUs: number) => ({
    label: `QoS ${qos}: ${label}`,
    value: cpuUs / plain.cpuUs,
    unit: "x"
  })
  return [
    { label: `QoS ${qos}: CPU of a message without any of it`, value: plain.cpuUs, unit: "µs" },
    ratio("with access rules", ruled.cpuUs),
    limited(ratio("with access rules, limits and a policy", checked.cpuUs), checksGoal, options),
    ratio("with access rules, every limit there is, and a policy", crowded.cpuUs),
    limited(ratio("with tracing, nothing sampled", unsampled.cpuUs), unsampledGoal, options),
    limited(ratio("with tracing, one in a hundred sampled", sampled.cpuUs), sampledGoal, options)
  ]
}

export const checksOverhead: CapacityScenario = {
  kind: "capacity",
  name: "checks-overhead",
  goal: "rules, limits and a policy add at most 15 %; tracing 3 %, and 10 % when one in a hundred is sampled",
  run: apart(import.meta.path)
}

if (import.meta.main) await answer(measure)
