/** The keys of a service that is asked over HTTP, whatever it is asked. */

import { describe, duration, integer, optionalUrl, secretOrNone } from "../values/Key.ts"

/** `asked`: what the service is and is sent; `beyond`: what becomes of calls over `concurrency`. */
export const calloutKeys = (asked: string, timeout: string, beyond: string) => ({
  url: describe(optionalUrl, asked, ""),
  authorization: describe(secretOrNone("a text"), "The header Authorization of each call", ""),
  timeout: describe(duration(10, 600_000), "What a call may take", timeout),
  concurrency: describe(integer(1, 100_000), `Calls under way at a time; ${beyond}`, 256)
})

/** How long a yes is kept, under whichever name. */
export const yesTtl = describe(
  duration(0, 86_400_000),
  "How long a yes is kept and not asked for again",
  "1m"
)

/** How long a no is kept, how many answers are, and when a service that fails is left alone. */
export const calloutRest = {
  refusedTtl: describe(duration(0, 86_400_000), "How long a no is kept", "5s"),
  cacheSize: describe(integer(1, 10_000_000), "Answers that are kept", 100_000),
  failures: describe(integer(1, 1_000_000), "Failures in a row after which the service is left alone", 5),
  rest: describe(duration(1, 3_600_000), "How long it is left alone before it is tried again", "10s")
}
