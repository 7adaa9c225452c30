/**
 * Mutual TLS: a client is who its certificate says it is.
 *
 * A rule takes a name out of the certificate, for the principal and for the tenant: a field of it, as a whole
 * or the part that a pattern captures. A certificate that has no such name is not known here; one that has
 * several different ones is refused, because it is not for us to choose. Only certificates that have been
 * verified against the listener's authorities come this far. A user name and a password are not looked at.
 */

import * as Effect from "effect/Effect"
import { ReasonCode } from "../../protocol/ReasonCode.ts"
import { DEFAULT_TENANT } from "../../tenant/TenantDirectory.ts"
import type { PeerCertificate } from "../../transport/Transport.ts"
import type { Refused } from "../Authenticator.ts"
import { type AuthenticationMethod, notMine, type Verdict } from "../Chain.ts"
import { subjectValues } from "./subjectValues.ts"

/** What a rule may name as its field. */
export const isCertificateField = (field: string): boolean =>
  /^(cn|dns|uri|email|fingerprint|subject\.[A-Za-z][A-Za-z0-9.-]*)$/.test(field)

export interface CertificateRule {
  /**
   * Where the name stands: the common name (`cn`), a subject alternative name (`dns`, `uri`, `email`), the
   * `fingerprint`, or an attribute of the subject by its short name, such as `subject.O`.
   */
  readonly field: string
  /** What the whole field must match; its first group, if it has one, is the name. "" takes the field. */
  readonly pattern: string
}

export interface CertificateMethodOptions {
  readonly principal: CertificateRule
  /** Undefined makes all clients one tenant's, `default`. */
  readonly tenant: CertificateRule | undefined
}

export const certificateMethod = ({ principal, tenant }: CertificateMethodOptions): AuthenticationMethod => {
  const principalsOf = namesBy(principal)
  const tenantsOf = tenant === undefined ? () => [DEFAULT_TENANT] : namesBy(tenant)
  const judge = (certificate: PeerCertificate): Verdict => {
    const principals = principalsOf(certificate)
    const tenants = tenantsOf(certificate)
    if (principals.length > 1 || tenants.length > 1) return ambiguous
    const [principalName] = principals
    const [tenantName] = tenants
    if (principalName === undefined || tenantName === undefined) return notMine
    return { _tag: "Accepted", tenant: tenantName, principal: principalName }
  }
  return {
    name: "certificate",
    authenticate: ({ authenticationMethod, peer: { certificate } }) =>
      Effect.succeed(
        certificate === undefined || authenticationMethod !== undefined ? notMine : judge(certificate)
      )
  }
}

const ambiguous: Refused = {
  _tag: "Refused",
  reasonCode: ReasonCode.NotAuthorized,
  reason: "the certificate has more than one name"
}

/** The different names that a rule finds. */
const namesBy = ({ field, pattern }: CertificateRule) => {
  const whole = pattern === "" ? undefined : new RegExp(`^(?:${pattern})$`, "u")
  return (certificate: PeerCertificate): ReadonlyArray<string> => {
    const names = new Set<string>()
    for (const value of valuesOf(certificate, field)) {
      const match = whole === undefined ? [value] : whole.exec(value)
      const name = match?.[1] ?? match?.[0]
      if (name !== undefined && isName(name)) names.add(name)
    }
    return [...names]
  }
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what no name has
const isName = (name: string): boolean => name !== "" && !/[\u0000-\u001f\u007f]/.test(name)

const valuesOf = (certificate: PeerCertificate, field: string): ReadonlyArray<string> => {
  switch (field) {
    case "cn":
      return certificate.commonName === undefined ? [] : [certificate.commonName]
    case "fingerprint":
      return [certificate.fingerprint256]
    case "dns":
      return alternativeNames(certificate, "DNS:")
    case "uri":
      return alternativeNames(certificate, "URI:")
    case "email":
      return alternativeNames(certificate, "email:")
    default:
      return subjectValues(certificate.subject, field.slice("subject.".length))
  }
}

const alternativeNames = ({ subjectAltNames }: PeerCertificate, prefix: string): ReadonlyArray<string> =>
  subjectAltNames.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length))
