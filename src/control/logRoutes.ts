/** How much is logged, over the control socket. */

import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { AdministrationError } from "./AdministrationError.ts"
import { bodyOf, type ControlRoute } from "./ControlRoute.ts"

export interface LogControl<Level extends string> {
  /** From the loudest to the quietest. */
  readonly levels: ReadonlyArray<Level>
  readonly current: () => Level
  readonly change: (level: Level) => Effect.Effect<void, AdministrationError>
}

export const logRoutes = <Level extends string>({
  change,
  current,
  levels
}: LogControl<Level>): ReadonlyArray<ControlRoute> => {
  const Change = Schema.Struct({ level: Schema.Literal(...levels) })
  const answer = () => ({ level: current() })
  return [
    { method: "GET", path: "/log", handle: () => Effect.sync(answer) },
    {
      method: "POST",
      path: "/log",
      handle: (request) =>
        Effect.flatMap(bodyOf(request, Change), ({ level }) => Effect.map(change(level), answer))
    }
  ]
}
