/** The broker whose capacity is measured, with the default services. */

import * as Layer from "effect/Layer"
import { Authorizer } from "../../../src/auth/Authorizer.ts"
import { defaultTenantSettings } from "../../../src/tenant/TenantSettings.ts"
import { runSubject } from "./serve.ts"

runSubject({
  authorizer: Authorizer.layerAllowAll,
  policy: Layer.empty,
  telemetry: Layer.empty,
  settings: defaultTenantSettings
})
