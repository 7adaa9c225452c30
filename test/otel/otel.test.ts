/** What `otel/` shows and alerts on is what the broker exposes: each file is read, each metric looked up. */

import { describe, expect, test } from "bun:test"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { StorageCounters } from "../../src/storage/StorageCounters.ts"
import { Counters } from "../../src/telemetry/Counters.ts"
import { brokerMetrics } from "../../src/telemetry/metrics/broker.ts"
import { Histogram } from "../../src/telemetry/metrics/Histogram.ts"
import { processMetrics } from "../../src/telemetry/metrics/process.ts"
import { prometheusText } from "../../src/telemetry/metrics/prometheus.ts"
import { storageMetrics } from "../../src/telemetry/metrics/storage.ts"
import { TenantMetrics } from "../../src/telemetry/metrics/TenantMetrics.ts"
import { TelemetryCounters } from "../../src/telemetry/TelemetryCounters.ts"

const folder = join(import.meta.dir, "../../otel")
const files = readdirSync(folder, { recursive: true, encoding: "utf8" })
const read = (file: string): string => readFileSync(join(folder, file), "utf8")

const text = prometheusText([
  ...brokerMetrics({
    version: "1",
    isReady: true,
    tenants: 1,
    deadlines: 0,
    bufferBytes: 0,
    ticks: 0,
    loopLag: new Histogram(),
    eventsLost: 0,
    telemetry: new TelemetryCounters()
  }),
  ...new TenantMetrics().read([{ tenant: "t", counters: new Counters() }], 1),
  ...storageMetrics(new StorageCounters()),
  ...processMetrics(0)()
])

/** Labels of each series that the broker exposes, by name; and those that Prometheus adds. */
const exposed = new Map<string, Set<string>>()
for (const line of text.split("\n")) {
  const [, name, labels = ""] = /^([a-z_]+)(?:\{(.*)\})? /.exec(line) ?? []
  if (name === undefined || line.startsWith("#")) continue
  const known = exposed.get(name) ?? new Set(["job", "instance"])
  for (const [, label] of labels.matchAll(/(\w+)="/g)) if (label !== undefined) known.add(label)
  exposed.set(name, known)
}
exposed.set("up", new Set(["job", "instance"]))

/** What an expression asks for: names, each with the labels of its selector and those it is summed by. */
const asked = (
  expression: string
): ReadonlyArray<{ readonly name: string; readonly labels: ReadonlyArray<string> }> => {
  const grouped = [...expression.matchAll(/by \(([^)]*)\)/g)].flatMap(([, names = ""]) =>
    names.split(",").map((name) => name.trim())
  )
  const bare = expression.replace(/by \([^)]*\)/g, "")
  return [...bare.matchAll(/\b(heddle_\w+|process_\w+|up)\b(?:\{([^}]*)\})?/g)].map(
    ([, name = "", selector = ""]) => ({
      name,
      labels: [...grouped, ...[...selector.matchAll(/(\w+)\s*[=!]/g)].map(([, label = ""]) => label)]
    })
  )
}

const unknownIn = (expressions: ReadonlyArray<string>): ReadonlyArray<string> =>
  expressions.flatMap((expression) =>
    asked(expression).flatMap(({ labels, name }) => {
      const known = exposed.get(name)
      if (known === undefined) return [`${name} is not exposed: ${expression}`]
      return labels
        .filter((label) => !known.has(label))
        .map((label) => `${name} has no ${label}: ${expression}`)
    })
  )

test("the look-up finds what is wrong", () => {
  expect(unknownIn(["rate(heddle_nothing_total[5m])"])).toHaveLength(1)
  expect(unknownIn(['sum by (colour) (heddle_connections{tenant="a"})'])).toHaveLength(1)
  expect(unknownIn(['sum by (tenant) (heddle_connections{tenant="a"})'])).toEqual([])
})

describe("every file is sound", () => {
  for (const file of files.filter((name) => name.endsWith(".yaml"))) {
    test(file, () => {
      expect(Bun.YAML.parse(read(file))).toBeInstanceOf(Object)
    })
  }
})

interface Panel {
  readonly id: number
  readonly title: string
  readonly targets: ReadonlyArray<{ readonly expr: string }>
  readonly gridPos: { readonly x: number; readonly w: number }
}

interface Dashboard {
  readonly uid: string
  readonly title: string
  readonly panels: ReadonlyArray<Panel>
  readonly templating: {
    readonly list: ReadonlyArray<{ readonly name: string; readonly query: { readonly query: string } }>
  }
}

describe("dashboards", () => {
  const dashboards = files
    .filter((name) => name.endsWith(".json"))
    .map((file) => ({ file, dashboard: JSON.parse(read(file)) as Dashboard }))

  test("there are the four, each with a name of its own", () => {
    expect(dashboards.map(({ dashboard }) => dashboard.uid).sort()).toEqual([
      "heddle-overview",
      "heddle-slow",
      "heddle-storage",
      "heddle-tenant"
    ])
  })

  for (const { dashboard, file } of dashboards) {
    test(`${file} shows what the broker exposes`, () => {
      const { panels, templating } = dashboard
      const expressions = panels.flatMap(({ targets }) => targets.map(({ expr }) => expr))
      expect(expressions.length).toBeGreaterThan(panels.length - 1)
      expect(unknownIn(expressions)).toEqual([])
      const variables = new Set(templating.list.map(({ name }) => name))
      const used = expressions.flatMap((expr) => [...expr.matchAll(/\$(\w+)/g)].map(([, name = ""]) => name))
      expect(used.filter((name) => name !== "__rate_interval" && !variables.has(name))).toEqual([])
      expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length)
      expect(panels.filter(({ gridPos }) => gridPos.x + gridPos.w > 24)).toEqual([])
    })
  }
})

interface Rule {
  readonly alert: string
  readonly expr: string
  readonly labels: { readonly severity: string }
  readonly annotations: { readonly summary: string; readonly description: string }
}

test("alerts are on what the broker exposes, and say what to do", () => {
  const { groups } = Bun.YAML.parse(read("alerts.yaml")) as {
    readonly groups: ReadonlyArray<{ readonly rules: ReadonlyArray<Rule> }>
  }
  const rules = groups.flatMap((group) => group.rules)
  expect(unknownIn(rules.map(({ expr }) => expr))).toEqual([])
  for (const { annotations, labels } of rules) {
    expect(annotations.summary).not.toBe("")
    expect(annotations.description).not.toBe("")
    expect(["critical", "warning", "info"]).toContain(labels.severity)
  }
})

test("the compose file mounts files that are there", () => {
  const { services } = Bun.YAML.parse(read("compose.yaml")) as {
    readonly services: Readonly<Record<string, { readonly volumes?: ReadonlyArray<string> }>>
  }
  const mounted = Object.values(services)
    .flatMap(({ volumes = [] }) => volumes)
    .flatMap((volume) => (volume.startsWith("./") ? [volume.slice(2).split(":")[0] ?? ""] : []))
  expect(mounted.length).toBeGreaterThan(5)
  for (const path of mounted) expect(files).toContain(path)
})
