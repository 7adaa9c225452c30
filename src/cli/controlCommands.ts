/** The commands that ask a broker that runs, through its control socket. */

import { aclCommand } from "./acl.ts"
import { banCommand } from "./ban.ts"
import { clientsCommand, disconnectCommand, explainCommand, purgeCommand } from "./clients.ts"
import { reloadCommand, targetOf } from "./control.ts"
import type { ConfigAccess } from "./database.ts"
import { logCommand } from "./logLevel.ts"
import { sampleCommand } from "./sample.ts"
import { tenantsCommand } from "./tenants.ts"
import { traceCommand } from "./trace.ts"

export const controlCommands = <R>(access: ConfigAccess<R>) => {
  const target = targetOf(access)
  return [
    aclCommand(target),
    tenantsCommand(target),
    clientsCommand(target),
    explainCommand(target),
    disconnectCommand(target),
    purgeCommand(target),
    banCommand(target),
    traceCommand(target),
    sampleCommand(target),
    logCommand(target),
    reloadCommand(target)
  ] as const
}
