/** `heddle trace`: one client's packets and what the broker decides about them, live. */

import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { FollowedLine, followedText } from "../telemetry/follow/FollowedLine.ts"
import { clientOption, tenantOption } from "./clients.ts"
import type { SocketTarget } from "./control.ts"
import { streamControl } from "./controlStream.ts"
import { secondsOf } from "./duration.ts"

export const traceCommand = <R>({ config, socket }: SocketTarget<R>) =>
  Command.make(
    "trace",
    {
      config,
      tenant: tenantOption,
      client: clientOption,
      packets: Options.integer("packets").pipe(
        Options.withDescription("End after so many packets"),
        Options.optional
      ),
      for: Options.text("for").pipe(
        Options.withDefault("10m"),
        Options.withDescription("How long, such as 90s or 2h")
      ),
      payload: Options.integer("payload").pipe(
        Options.withDefault(0),
        Options.withDescription("Show so many bytes of payloads; else only their length")
      ),
      json: Options.boolean("json").pipe(Options.withDescription("Print a JSON object a line"))
    },
    Effect.fnUntraced(function* ({ client, config: own, for: time, json, packets, payload, tenant }) {
      const query = {
        tenant,
        client,
        packets: Option.getOrUndefined(Option.map(packets, String)),
        seconds: String(yield* secondsOf(time)),
        payload: String(payload)
      }
      const path = yield* socket(own)
      const lines = streamControl(path, { method: "GET", path: "/follow", query })
      yield* Stream.runForEach(lines, (line) => (json ? Console.log(line) : printText(line)))
    })
  ).pipe(
    Command.withDescription(
      "Follow a client live, connected or not: its packets in both directions, attempts to connect, and " +
        "what the broker decides. Ends after a time, or by Ctrl-C. Never shows passwords or tokens."
    )
  )

const decodeLine = Schema.decode(Schema.parseJson(FollowedLine))

/** A line of a kind that this version does not know is printed as it came. */
const printText = (line: string): Effect.Effect<void> =>
  Effect.match(decodeLine(line), { onFailure: () => line, onSuccess: followedText }).pipe(
    Effect.flatMap((text) => Console.log(text))
  )
