/**
 * Something that was asked of a broker's administration cannot be done. Shown to whoever asked: by the
 * control socket as JSON, by the command line as its message.
 */

import * as Schema from "effect/Schema"
import type { StorageError } from "../storage/StorageError.ts"

/**
 * `not-found`: there is no such thing, or it is not yours to see. `exists`: there is one already. `invalid`:
 * what was asked makes no sense; `problems` says where. `configured`: it stands in the configuration and is
 * changed there. `unavailable`: not now, perhaps later.
 */
export const administrationErrorCodes = [
  "not-found",
  "exists",
  "invalid",
  "configured",
  "unavailable"
] as const

export class AdministrationError extends Schema.TaggedError<AdministrationError>()("AdministrationError", {
  code: Schema.Literal(...administrationErrorCodes),
  message: Schema.String,
  problems: Schema.Array(Schema.Struct({ key: Schema.String, message: Schema.String }))
}) {}

export type AdministrationErrorCode = (typeof administrationErrorCodes)[number]

export const refused = (
  code: AdministrationErrorCode,
  message: string,
  problems: AdministrationError["problems"] = []
): AdministrationError => new AdministrationError({ code, message, problems })

export const unstored = ({ reason }: StorageError): AdministrationError => refused("unavailable", reason)
