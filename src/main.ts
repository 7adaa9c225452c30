#!/usr/bin/env bun
/** The `heddle` command: configuration in, a running broker out. The only place where effects are run. */

import * as BunContext from "@effect/platform-bun/BunContext"
import * as BunRuntime from "@effect/platform-bun/BunRuntime"
import * as Effect from "effect/Effect"
import { makeCli } from "./cli/Cli.ts"
import { start } from "./cli/start.ts"

BunRuntime.runMain(Effect.provide(makeCli(start)(process.argv), BunContext.layer), {
  // The command line has told what went wrong.
  disableErrorReporting: true,
  // The configuration chooses the logger; with another one beside it every line would come twice.
  disablePrettyLogger: true
})
