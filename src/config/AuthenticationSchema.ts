/** The `authentication` section: in which ways clients prove who they are, and what each way needs. */

import * as Schema from "effect/Schema"
import { isCertificateField } from "../auth/certificate/CertificateMethod.ts"
import {
  boolean,
  checked,
  describe,
  duration,
  integer,
  networks,
  oneOf,
  optionalUrl,
  secretOrNone,
  text,
  wordsOf
} from "../values/Key.ts"
import { parseDuration } from "../values/Units.ts"
import { calloutKeys, calloutRest, yesTtl } from "./calloutKeys.ts"

/** A text that may be empty, which turns off what it is for. */
const optional = (allowed: string, pattern: RegExp = /^/) => text(`${allowed}, or ""`, pattern)

const PasswordFile = Schema.Struct({
  path: describe(
    text("the path of a file"),
    "Users and their passwords, for password-file and scram; written by `heddle passwd`, and read again " +
      "when it changes",
    "passwords"
  ),
  concurrency: describe(
    integer(1, 64),
    "Passwords verified at a time; each takes a thread and the memory of a hash (19 MB)",
    4
  ),
  waitingMax: describe(
    integer(0, 1_000_000),
    "Clients that wait for that; more are told that the server is busy",
    2000
  )
})

const Users = Schema.Struct({
  concurrency: describe(
    integer(1, 64),
    "Passwords verified at a time; each takes a thread and the memory of a hash (19 MB)",
    4
  ),
  waitingMax: describe(
    integer(0, 1_000_000),
    "Clients that wait for that; more are told that the server is busy",
    2000
  )
})

const Jwt = Schema.Struct({
  algorithm: describe(
    oneOf("RS256", "ES256", "EdDSA", "HS256"),
    "The one algorithm that tokens are signed by",
    "RS256"
  ),
  secret: describe(secretOrNone("a secret of 32 bytes or more"), "The secret of HS256", ""),
  file: describe(
    optional("the path of a file"),
    "The keys: a PEM file (public key or certificate) or a JSON Web Key Set; read again when it changes",
    ""
  ),
  url: describe(
    optionalUrl,
    "The keys: the URL of a JSON Web Key Set; fetched again for a token that names an unknown key",
    ""
  ),
  refresh: describe(duration(1000, 86_400_000), "Age at which the keys of `url` are fetched again", "10m"),
  refreshMin: describe(duration(1000, 86_400_000), "The least time between two fetches", "30s"),
  issuer: describe(optional("the claim iss"), "Who issues the tokens", ""),
  audience: describe(optional("the claim aud"), "Whom the tokens are for", ""),
  leeway: describe(duration(0, 600_000), "What the clocks of issuer and broker may differ", "30s"),
  expiryRequired: describe(boolean, "Refuse tokens without `exp`, which would be good for ever", true),
  tenantClaim: describe(
    optional("a claim"),
    'The claim that names the tenant, required if named; "" is the tenant `default` for all',
    "tenant"
  ),
  principalClaim: describe(text("a claim"), "The claim that names the principal", "sub"),
  clientIdClaim: describe(
    optional("a claim"),
    "The claim that lists the client identifiers that may use the token, required if named",
    ""
  ),
  rulesClaim: describe(
    optional("a claim"),
    "The claim with access rules, required if named: a list of { permission, action, topicFilter }",
    ""
  )
})

const Http = Schema.Struct({
  ...calloutKeys(
    "The service that knows clients: what they present is sent there by POST, as JSON",
    "5s",
    "clients beyond that are told that the server is busy"
  ),
  acceptedTtl: yesTtl,
  ...calloutRest
})

const fieldAllowed = "cn, dns, uri, email, fingerprint or an attribute of the subject such as subject.O"

const isPattern = (pattern: string): boolean => {
  try {
    return new RegExp(`^(?:${pattern})$`, "u") !== undefined
  } catch {
    return false
  }
}

const Certificate = Schema.Struct({
  principal: describe(
    checked(isCertificateField, fieldAllowed),
    "What of a verified client certificate names the principal",
    "cn"
  ),
  principalPattern: describe(
    checked(isPattern, 'a regular expression, or ""'),
    "What that must match as a whole; the first group, if there is one, is the name",
    ""
  ),
  tenant: describe(
    checked((text) => text === "" || isCertificateField(text), `${fieldAllowed}, or ""`),
    'What names the tenant; "" is the tenant `default` for all',
    ""
  ),
  tenantPattern: describe(
    checked(isPattern, 'a regular expression, or ""'),
    "The same as `principalPattern` for the tenant",
    ""
  )
})

const Guard = Schema.Struct({
  failures: describe(
    integer(0, 1_000_000),
    "Failures of an address (of IPv6, one /64) or of a user before it has to wait; 0 never lets it wait",
    10
  ),
  backoff: describe(duration(1, 3_600_000), "The first wait; each further failure doubles it", "1s"),
  backoffMax: describe(duration(1, 86_400_000), "The longest wait", "1m"),
  flapConnects: describe(
    integer(0, 1_000_000),
    "Connections of one client within `flapWindow`; one more bans it for `flapBan`. 0 does not look",
    0
  ),
  flapWindow: describe(duration(100, 86_400_000), "See `flapConnects`", "1m"),
  flapBan: describe(duration(100, 31_536_000_000), "See `flapConnects`", "5m"),
  bannedNetworks: describe(networks, "Addresses and networks whose clients are refused", [])
})

export const Authentication = Schema.Struct({
  methods: describe(
    wordsOf("password-file", "users", "jwt", "certificate", "http", "scram"),
    "How clients authenticate: `users` by the directory of `heddle users`, which does SCRAM-SHA-256 as " +
      "well. Asked in this order; the first that knows a client decides, nobody means no",
    []
  ),
  anonymous: describe(
    oneOf("loopback", "always", "never"),
    "Which clients may connect without: those on this machine (by a loopback address), all, or none. With " +
      "no `methods`, user names and passwords are not looked at",
    "loopback"
  ),
  timeout: describe(
    duration(10, 600_000),
    "What a method may take for its answer; one that takes longer refuses",
    "8s"
  ),
  passwordFile: PasswordFile,
  users: Users,
  jwt: Jwt,
  certificate: Certificate,
  http: Http,
  guard: Guard
})

/**
 * Rules between the keys of the section, as [key, what is wrong]. `valueOf` answers for keys given or
 * defaulted, by their paths in the section.
 */
export const authenticationConflicts = (
  valueOf: (key: string) => unknown
): ReadonlyArray<readonly [key: string, wrong: string]> => {
  const methods = valueOf("methods")
  const isChosen = (method: string): boolean => Array.isArray(methods) && methods.includes(method)
  return [
    ...(isChosen("jwt") ? jwtConflicts((key) => valueOf(`jwt.${key}`)) : []),
    ...(isChosen("http") ? httpConflicts(valueOf) : [])
  ]
}

const httpConflicts = (
  valueOf: (key: string) => unknown
): ReadonlyArray<readonly [key: string, wrong: string]> => {
  if ((valueOf("http.url") ?? "") === "") return [["http.url", "is required for method http"]]
  const [call, all] = [valueOf("http.timeout"), valueOf("timeout")].map((text) => parseDuration(String(text)))
  // Given up from outside, a call would not count as a failure of the service.
  return call !== undefined && all !== undefined && call >= all
    ? [["http.timeout", `is not less than authentication.timeout, ${valueOf("timeout")}`]]
    : []
}

const jwtConflicts = (
  valueOf: (key: string) => unknown
): ReadonlyArray<readonly [key: string, wrong: string]> => {
  const given = ["secret", "file", "url"].filter((key) => (valueOf(key) ?? "") !== "")
  if (given.length !== 1) return [["jwt", "needs keys: one of jwt.secret, jwt.file and jwt.url"]]
  const isShared = valueOf("algorithm") === "HS256"
  if (isShared !== (given[0] === "secret") && given[0] !== "file") {
    const wrong = isShared
      ? "is for public keys; algorithm HS256 needs jwt.secret"
      : `is for algorithm HS256; ${valueOf("algorithm")} needs jwt.file or jwt.url`
    return [[`jwt.${given[0]}`, wrong]]
  }
  return []
}
