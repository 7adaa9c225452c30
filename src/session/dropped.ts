/** A message that does not reach a client: told, and the end of its trace here. */

import type { DropReason } from "../events/Event.ts"
import type { Publication } from "../router/Publication.ts"
import type { SessionOutputs, SessionState } from "./SessionState.ts"
import { traceDropped } from "./tracing.ts"

export const tellDropped = (
  state: SessionState,
  publication: Publication,
  reason: DropReason,
  out: SessionOutputs,
  qos: number = publication.qos
): void => {
  if (publication.traceContext !== undefined) traceDropped(state, publication, reason, out.tracing)
  out.dropped(publication.topic.name, reason, qos)
}
