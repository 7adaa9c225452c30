/** What telemetry counts of itself: plain numbers. What is lost on the way to a collector is never silent. */

export class TelemetryCounters {
  /** Messages, connections and the like that were traced. */
  tracesBegun = 0
  /** Those that would have been, had there not been so many in that second. */
  tracesLimited = 0
  /** Deliveries of traced messages that have no span, for there were too many in that second. */
  spansLimited = 0
  spansExported = 0
  /** Spans that found the buffer full, or whose export failed for good. */
  spansLost = 0
  /** Requests that the collector did not accept, and those given up. */
  exportFailures = 0
  exportsGivenUp = 0
}
