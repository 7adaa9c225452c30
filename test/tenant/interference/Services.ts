/** Services that fail for tenant a as its trace wants it, and are well for tenant b. */

import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Acl } from "../../../src/auth/Acl.ts"
import { type AuthenticationStep, Authenticator, type Identity } from "../../../src/auth/Authenticator.ts"
import { AuthorizationUnavailable, Authorizer, type Permissions } from "../../../src/auth/Authorizer.ts"
import { type Policy, TenantPolicy } from "../../../src/tenant/policy/TenantPolicy.ts"
import {
  type Allow,
  allow,
  type Drop,
  drop,
  type Refuse,
  refuse
} from "../../../src/tenant/policy/Verdict.ts"
import { ruleOf } from "../../support/changingRules.ts"
import type { Fault, Service } from "./Trace.ts"

export class Services {
  private readonly faults = new Map<Service, Fault>()

  set(service: Service, fault: Fault): void {
    this.faults.set(service, fault)
  }

  /** All are well from now on. */
  recover(): void {
    this.faults.clear()
  }

  private ask<A>(
    tenant: string,
    service: Service,
    answers: { readonly well: A; readonly denied: A }
  ): Effect.Effect<A> {
    const fault = tenant === "a" ? (this.faults.get(service) ?? "well") : "well"
    switch (fault) {
      case "well":
        return Effect.succeed(answers.well)
      case "denies":
        return Effect.succeed(answers.denied)
      case "throws":
        throw new TypeError("a bug")
      case "dies":
      case "fails":
        return Effect.die("a bug")
      case "hangs":
        return Effect.never
      case "nonsense":
        return Effect.succeed("nonsense" as A)
    }
  }

  readonly authenticator = Layer.succeed(Authenticator, {
    authenticate: ({ username = "" }) => {
      const [tenant = "", principal = ""] = username.split("/")
      return this.ask<AuthenticationStep>(tenant, "authenticator", {
        well: { _tag: "Accepted", tenant, principal },
        denied: { _tag: "Refused", reasonCode: 0x87, reason: "denied" }
      })
    },
    reauthenticate: () => Effect.die("not asked for")
  })

  private readonly rules = new Acl(
    ["deny all deny/1", "allow all #", "allow all $SYS/#", "allow all $odd/#", "allow all $recorder"].map(
      ruleOf
    )
  )

  readonly authorizer = Layer.succeed(Authorizer, {
    permissions: (identity: Identity) => {
      const { tenant } = identity
      const decide = (well: boolean) => this.ask(tenant, "decisions", { well, denied: false })
      const suspending: Permissions = {
        publish: (topic, qos, retain) => decide(this.rules.publish(topic, qos, retain)),
        subscribe: (filter, qos, group) => decide(this.rules.subscribe(filter, qos, group)),
        deliver: (topic) => topic !== "deny/1"
      }
      const asked = this.ask(tenant, "authorizer", {
        well: tenant === "a" ? suspending : this.rules,
        denied: new Acl([])
      })
      return this.faults.get("authorizer") === "fails" && tenant === "a"
        ? new AuthorizationUnavailable({ reason: "down" })
        : asked
    }
  })

  readonly policy = TenantPolicy.forTenant((tenant): Policy => {
    const no = refuse(0x87, "denied")
    const judge = () => this.ask<Allow | Refuse>(tenant, "policy", { well: allow, denied: no })
    return {
      admit: judge,
      publish: judge,
      subscribe: judge,
      unsubscribe: judge,
      deliver: () => this.ask<Allow | Drop>(tenant, "policy", { well: allow, denied: drop("denied") }),
      settings: () => this.ask(tenant, "directory", { well: {}, denied: {} })
    }
  })
}
