/**
 * The chart of a result: processor time for each delivered message, in mosquitto's, on a logarithmic axis.
 *
 * A pure function from data to SVG, with no script and no font of its own. The colours follow the reader's
 * light or dark mode; what a colour says stands in words as well. Rows that mosquitto did not finish are left
 * out, and there is nothing to draw without it: then the chart says so.
 */

import { fraction, isHeddle, yardstick } from "./goals.ts"
import { diskLine } from "./report.ts"
import type { BenchResult, Outcome, Row } from "./results.ts"
import { median, pairedRatios } from "./statistics.ts"

interface Bar {
  readonly title: string
  /** Ours in mosquitto's: median and extremes over the runs. */
  readonly ratio: number
  readonly least: number
  readonly most: number
  readonly goal: number | undefined
  readonly met: boolean | null
  /** Another peer's in mosquitto's. */
  readonly others: ReadonlyArray<number>
}

const ratiosOf = (outcome: Outcome | undefined, to: Outcome): ReadonlyArray<number> =>
  outcome === undefined ? [] : pairedRatios(outcome.figures.cpuUs, to.figures.cpuUs)

/** `peers`: names of the other programs that have a mark. */
const barOf = ({ outcomes, title, verdicts }: Row, peerNames: ReadonlyArray<string>): ReadonlyArray<Bar> => {
  const [ours, ...peers] = outcomes
  const theirs = peers.find(({ broker }) => broker === yardstick)
  if (theirs === undefined || theirs.failure !== null) return []
  const ratios = ratiosOf(ours, theirs)
  if (ratios.length === 0) return []
  const verdict = verdicts.find(({ goal }) => goal.figure === "cpuUs" && goal.relative)
  const others = peers.filter((peer) => peerNames.includes(peer.broker) && peer.failure === null)
  return [
    {
      title,
      ratio: median(ratios),
      least: Math.min(...ratios),
      most: Math.max(...ratios),
      goal: verdict?.goal.value,
      met: verdict?.met ?? null,
      others: others.map((peer) => median(ratiosOf(peer, theirs)))
    }
  ]
}

/** Rows of messages at a rate of their own; what latency asks for is no matter of processor time. */
const barsOf = (result: BenchResult): ReadonlyArray<Bar> => {
  const peers = peersOf(result)
  return result.rows
    .filter(({ kind, name }) => kind === "messages" && !name.startsWith("half-"))
    .flatMap((row) => barOf(row, peers))
}

/** Other programs beside the yardstick; ours in another setting is none. */
const peersOf = ({ rows, versions }: BenchResult): ReadonlyArray<string> =>
  versions
    .map(({ name }) => name)
    .filter((name) => name !== yardstick && !isHeddle(name))
    .filter((name) => rows.some(({ outcomes }) => outcomes.some(({ broker }) => broker === name)))

const width = 880
const left = 250
const right = 705
const top = 92
const rowHeight = 30
const barHeight = 14

const ticks = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100]

/** From a ratio to its place: whole ticks around everything that is shown. */
const axisOf = (bars: ReadonlyArray<Bar>) => {
  const shown = bars.flatMap(({ goal = 1, least, most, others }) => [least, most, goal, ...others])
  const from = ticks.findLast((tick) => tick < Math.min(1, ...shown)) ?? 0.01
  const to = ticks.find((tick) => tick > Math.max(1, ...shown)) ?? 100
  const place = (ratio: number): number => {
    const bounded = Math.min(to, Math.max(from, ratio))
    return left + ((right - left) * Math.log(bounded / from)) / Math.log(to / from)
  }
  return { place, ticks: ticks.filter((tick) => tick >= from && tick <= to) }
}

type Axis = ReturnType<typeof axisOf>

const style = `
  text { font: 13px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328 }
  .page { fill: #ffffff } .title { font-size: 17px; font-weight: 600 }
  .small { font-size: 12px; fill: #59636e }
  .grid { stroke: #d8dee4 } .one { stroke: #59636e; stroke-width: 1.5 }
  .bar { fill: #2a78d6 } .over { fill: #d1662b } .range { stroke: #8c959f; stroke-width: 2 }
  .goal { stroke: #1f2328; stroke-width: 3 } .other { fill: #ffffff; stroke: #8250b4; stroke-width: 2 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc } .page { fill: #0d1117 } .small { fill: #9198a1 }
    .grid { stroke: #30363d } .one { stroke: #9198a1 }
    .bar { fill: #4493f8 } .over { fill: #f0883e } .range { stroke: #b1bac4 }
    .goal { stroke: #f0f6fc } .other { fill: #0d1117; stroke: #b892e8 }
  }`

const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;")

interface TextOptions {
  readonly kind?: string
  readonly anchor?: "start" | "middle" | "end"
}

const text = (
  x: number,
  y: number,
  content: string,
  { anchor = "start", kind }: TextOptions = {}
): string => {
  const kindOf = kind === undefined ? "" : ` class="${kind}"`
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}"${kindOf}>${escaped(content)}</text>`
}

const vertical = (x: number, fromY: number, toY: number, kind: string): string =>
  `<line x1="${x.toFixed(1)}" y1="${fromY}" x2="${x.toFixed(1)}" y2="${toY}" class="${kind}"/>`

const numberText = (ratio: number): string => ratio.toPrecision(2).replace(/\.0$/, "")

/** The bar begins at mosquitto's 1: to the left is less processor time, to the right is more. */
const barLines = (bar: Bar, index: number, { place }: Axis): ReadonlyArray<string> => {
  const middle = top + index * rowHeight + rowHeight / 2
  const from = Math.min(place(bar.ratio), place(1))
  const length = Math.abs(place(bar.ratio) - place(1))
  const kind = bar.met === false ? "over" : "bar"
  const y = middle - barHeight / 2
  const goal = bar.goal === undefined ? "" : `, goal ${fraction(bar.goal)}`
  const missed = bar.met === false ? ", not met" : ""
  const range = `x1="${place(bar.least).toFixed(1)}" x2="${place(bar.most).toFixed(1)}" y1="${middle}" y2="${middle}"`
  return [
    text(left - 12, middle + 4.5, bar.title, { anchor: "end" }),
    `<rect x="${from.toFixed(1)}" y="${y}" width="${length.toFixed(1)}" height="${barHeight}" rx="2" class="${kind}"/>`,
    ...(bar.most > bar.least ? [`<line ${range} class="range"/>`] : []),
    ...(bar.goal === undefined ? [] : [vertical(place(bar.goal), y - 4, y + barHeight + 4, "goal")]),
    ...bar.others.map(
      (other) => `<circle cx="${place(other).toFixed(1)}" cy="${middle}" r="4.5" class="other"/>`
    ),
    text(right + 10, middle + 4.5, `${numberText(bar.ratio)}${goal}${missed}`, { kind: "small" })
  ]
}

const axisLines = (axis: Axis, bottom: number): ReadonlyArray<string> =>
  axis.ticks.flatMap((tick) => [
    vertical(axis.place(tick), top, bottom, tick === 1 ? "one" : "grid"),
    text(axis.place(tick), bottom + 17, String(tick), { anchor: "middle", kind: "small" })
  ])

/** What the marks mean, each beside its mark. */
const legendLines = (bars: ReadonlyArray<Bar>, peers: ReadonlyArray<string>): ReadonlyArray<string> => {
  const y = 74
  const isAnyMissed = bars.some(({ met }) => met === false)
  const marks = [
    {
      mark: (x: number) => `<rect x="${x}" y="${y - 9}" width="14" height="10" rx="2" class="bar"/>`,
      name: "Heddle"
    },
    ...(isAnyMissed
      ? [
          {
            mark: (x: number) => `<rect x="${x}" y="${y - 9}" width="14" height="10" rx="2" class="over"/>`,
            name: "goal not met"
          }
        ]
      : []),
    { mark: (x: number) => vertical(x + 7, y - 11, y + 3, "goal"), name: "goal" },
    { mark: (x: number) => vertical(x + 7, y - 11, y + 3, "one"), name: `${yardstick} = 1` },
    ...peers.map((name) => ({
      mark: (x: number) => `<circle cx="${x + 7}" cy="${y - 4}" r="4.5" class="other"/>`,
      name
    }))
  ]
  return marks.flatMap(({ mark, name }, index) => {
    const x = left + index * 118
    return [mark(x), text(x + 20, y, name, { kind: "small" })]
  })
}

const footLines = (result: BenchResult, y: number): ReadonlyArray<string> => {
  const { date, disk, machine, repeat, seconds, versions } = result
  const runs = `median of ${repeat} ${repeat === 1 ? "run" : "runs"} of ${seconds} s, brokers in turn`
  const where = `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGB} GB, ${machine.platform} ${machine.kernel}`
  return [
    `${date}: ${runs}; 64-byte messages unless a size is given`,
    machine.pinned === "" ? where : `${where}; ${machine.pinned}`,
    ...(disk === undefined ? [] : [diskLine(disk)]),
    versions.map(({ name, version }) => `${name} ${version}`).join(", ")
  ].map((line, index) => text(20, y + index * 17, line, { kind: "small" }))
}

export const chart = (result: BenchResult): string => {
  const bars = barsOf(result)
  const axis = axisOf(bars)
  const bottom = top + Math.max(1, bars.length) * rowHeight
  const height = bottom + (result.disk === undefined ? 100 : 117)
  const title = "Processor time for each delivered message, in mosquitto's"
  const peers = peersOf(result)
  const body =
    bars.length === 0
      ? [text(left, top + 20, `nothing to draw: ${yardstick} was not measured beside Heddle`)]
      : [
          ...legendLines(bars, peers),
          ...axisLines(axis, bottom),
          ...bars.flatMap((bar, index) => barLines(bar, index, axis))
        ]
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escaped(title)}">`,
    `<style>${style}\n</style>`,
    `<rect width="${width}" height="${height}" class="page"/>`,
    text(20, 32, title, { kind: "title" }),
    text(20, 52, "Logarithmic; a bar to the left of 1 is less than mosquitto's, in the same run", {
      kind: "small"
    }),
    ...body,
    ...footLines(result, bottom + 46),
    "</svg>",
    ""
  ].join("\n")
}
