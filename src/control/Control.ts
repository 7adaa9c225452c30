/** The control socket of a broker, with all that can be asked of it. */

import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Broker } from "../Broker.ts"
import { Explain } from "../explain/Explain.ts"
import type { AdministrationError } from "./AdministrationError.ts"
import { aclRoutes } from "./aclRoutes.ts"
import { BanAdmin } from "./BanAdmin.ts"
import { banRoutes } from "./banRoutes.ts"
import type { ControlRoute } from "./ControlRoute.ts"
import { type ControlUnavailable, serveControl } from "./ControlServer.ts"
import { clientRoutes } from "./clientRoutes.ts"
import { followRoutes } from "./followRoutes.ts"
import { TenantAdmin } from "./TenantAdmin.ts"
import { tenantRoutes } from "./tenantRoutes.ts"

export interface ControlOptions {
  readonly path: string
  /** Whether a broker without it should not start. */
  readonly isRequired: boolean
  /** What else may be asked. */
  readonly routes: ReadonlyArray<ControlRoute>
  /** Reads the configuration again; what came of it. */
  readonly reload: Effect.Effect<unknown, AdministrationError> | undefined
}

export const layerControl = ({
  isRequired,
  path,
  reload,
  routes
}: ControlOptions): Layer.Layer<never, ControlUnavailable, Broker | TenantAdmin | BanAdmin | Explain> =>
  Layer.scopedDiscard(
    Effect.gen(function* () {
      const broker = yield* Broker
      const all = [
        ...tenantRoutes(yield* TenantAdmin),
        ...banRoutes(yield* BanAdmin),
        ...clientRoutes(broker, yield* Explain),
        ...aclRoutes(broker.administration),
        ...followRoutes(broker.administration),
        ...(reload === undefined ? [] : [{ method: "POST", path: "/reload", handle: () => reload } as const]),
        ...routes
      ]
      const serving = serveControl(path, all)
      yield* isRequired ? serving : Effect.catchAll(serving, ({ message }) => Effect.logWarning(message))
    })
  )
