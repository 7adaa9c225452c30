/** Tenants, users, usage and bans as they are kept in memory, beside a `DurableState`. */

import type { Ban, BanSubject } from "../auth/guard/BanList.ts"
import { banKey, banTenant } from "./BanStore.ts"
import type { StoredTenant } from "./TenantStore.ts"
import type { UsageRow, UsageSpan } from "./UsageStore.ts"
import type { StoredUser, UserListing } from "./UserStore.ts"

export class AdministrationState {
  private readonly tenantsByName = new Map<string, StoredTenant>()
  private readonly usersByName = new Map<string, StoredUser>()
  /** By hour, writer and tenant. */
  private readonly usage = new Map<string, UsageRow>()
  private readonly bansBySubject = new Map<string, Ban>()
  /** Counts the changes of users. */
  usersRevision = 0

  tenants(): ReadonlyArray<StoredTenant> {
    return [...this.tenantsByName.values()].sort((a, b) => inOrder(a.tenant, b.tenant))
  }

  tenant(name: string): StoredTenant | undefined {
    return this.tenantsByName.get(name)
  }

  putTenant(tenant: StoredTenant): void {
    this.tenantsByName.set(tenant.tenant, tenant)
  }

  removeTenant(name: string): boolean {
    return this.tenantsByName.delete(name)
  }

  user(username: string): StoredUser | undefined {
    return this.usersByName.get(username)
  }

  users({ after, limit, tenant }: UserListing): ReadonlyArray<StoredUser> {
    return [...this.usersByName.values()]
      .filter((user) => tenant === undefined || user.tenant === tenant)
      .filter(({ username }) => inOrder(username, after) > 0)
      .sort((a, b) => inOrder(a.username, b.username))
      .slice(0, limit)
  }

  putUser(user: StoredUser): void {
    this.usersRevision++
    this.usersByName.set(user.username, user)
  }

  removeUser(username: string): boolean {
    this.usersRevision++
    return this.usersByName.delete(username)
  }

  writeUsage(rows: ReadonlyArray<UsageRow>): void {
    for (const row of rows) this.usage.set(JSON.stringify([row.tenant, row.hourMs, row.writer]), row)
  }

  readUsage({ fromMs, tenant, untilMs }: UsageSpan): ReadonlyArray<UsageRow> {
    return [...this.usage.values()]
      .filter((row) => tenant === undefined || row.tenant === tenant)
      .filter(({ hourMs }) => hourMs >= fromMs && hourMs < untilMs)
      .sort((a, b) => a.hourMs - b.hourMs || inOrder(a.tenant, b.tenant) || inOrder(a.writer, b.writer))
  }

  /** Removes the rows that are told to go; how many. */
  removeUsage(isGone: (row: UsageRow) => boolean): number {
    const before = this.usage.size
    for (const [key, row] of this.usage) if (isGone(row)) this.usage.delete(key)
    return before - this.usage.size
  }

  bans(): ReadonlyArray<Ban> {
    return [...this.bansBySubject.values()]
  }

  putBan(ban: Ban): void {
    this.bansBySubject.set(banKey(ban.subject), ban)
  }

  removeBan(subject: BanSubject): boolean {
    return this.bansBySubject.delete(banKey(subject))
  }

  removeBansOf(tenant: string): void {
    for (const { subject } of this.bans()) if (banTenant(subject) === tenant) this.removeBan(subject)
  }
}

/** That of a database's binary collation of UTF-8. */
const inOrder = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))
