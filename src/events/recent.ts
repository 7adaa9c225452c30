/**
 * The last refusals, losses and ends of each client, for whoever asks why something went wrong a moment ago.
 *
 * Bounded: some tenants, in each some clients, of each some events; whom nothing has happened to for longest
 * is forgotten first, a tenant's clients for that tenant's own. What happens to one event costs the same
 * however many there are.
 */

import { BoundedTable } from "../auth/guard/BoundedTable.ts"
import type { Event } from "./Event.ts"
import type { Happened } from "./eventJson.ts"
import { eventKinds } from "./eventKinds.ts"

const TENANTS_MAX = 512
const CLIENTS_MAX = 32
const EVENTS_MAX = 4

type Clients = BoundedTable<Array<Happened>>

export class RecentEvents {
  private readonly tenants = new BoundedTable<Clients>(TENANTS_MAX)

  add(event: Event, atMs: number): void {
    if (!eventKinds[event._tag].isTrouble) return
    const tenant = keyOf("tenant" in event ? event.tenant : undefined)
    const clientId = "clientId" in event ? event.clientId : ""
    const clients = this.tenants.get(tenant) ?? new BoundedTable<Array<Happened>>(CLIENTS_MAX)
    this.tenants.set(tenant, clients)
    const events = clients.get(clientId) ?? []
    clients.set(clientId, events)
    if (events.length === EVENTS_MAX) events.shift()
    events.push({ event, atMs })
  }

  /**
   * What happened to a client, oldest first. `tenant` is undefined for those who were refused before anybody
   * knew their tenant, `clientId` is "" for what happened to nobody in particular.
   */
  of(tenant: string | undefined, clientId: string): ReadonlyArray<Happened> {
    return this.tenants.get(keyOf(tenant))?.get(clientId) ?? []
  }

  /** The tenant is gone. */
  forget(tenant: string): void {
    this.tenants.delete(keyOf(tenant))
  }
}

const keyOf = (tenant: string | undefined): string => (tenant === undefined ? "" : `=${tenant}`)
