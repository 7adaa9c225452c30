/**
 * Certificates for tests: an authority, another one that nobody trusts, servers and clients, made once per
 * process by the `openssl` command in a temporary directory. Elliptic curve keys, so that it takes some ten
 * milliseconds for each.
 */

import { spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

export interface TestCertificate {
  readonly cert: string
  readonly key: string
}

export interface TestCertificates {
  readonly authority: TestCertificate
  readonly rogueAuthority: TestCertificate
  /** For localhost, 127.0.0.1 and ::1. */
  readonly server: TestCertificate
  /** The same names, another key. */
  readonly renewed: TestCertificate
  /** For b.test. */
  readonly other: TestCertificate
  /** For *.wild.test. */
  readonly wildcard: TestCertificate
  /** `CN=device-1`, `O=acme` and one alternative name of each kind. */
  readonly client: TestCertificate
  /** Signed by the authority that nobody trusts. */
  readonly rogueClient: TestCertificate
  /** Signed properly, with names meant to confuse whoever takes them apart. */
  readonly hostileClient: TestCertificate
  /** Signed properly, and listed in `revocationList`. */
  readonly revokedClient: TestCertificate
  /** The authority's revocation list, in PEM. */
  readonly revocationList: string
}

/** The `openssl` command is installed. */
export const isOpensslAvailable = spawnSync("openssl", ["version"]).status === 0

interface Request {
  readonly name: string
  readonly subject: string
  readonly altNames?: string
  readonly signer?: string
  /** More of the configuration, for names that a list cannot hold. */
  readonly section?: string
}

const make = (directory: string, request: Request): TestCertificate => {
  const { altNames, name, section = "", signer, subject } = request
  const path = (file: string) => join(directory, file)
  const signedBy = signer === undefined ? [] : ["-CA", path(`${signer}.pem`), "-CAkey", path(`${signer}.key`)]
  const extensions = [
    `basicConstraints=${signer === undefined ? "critical,CA:TRUE" : "CA:FALSE"}`,
    ...(altNames === undefined ? [] : [`subjectAltName=${altNames}`])
  ]
  const config = [
    "[req]",
    "distinguished_name=dn",
    "x509_extensions=ext",
    "[dn]",
    "[ext]",
    ...extensions,
    section
  ]
  writeFileSync(path("openssl.cnf"), `${config.join("\n")}\n`)
  const made = spawnSync("openssl", [
    ...["req", "-x509", "-utf8", "-config", path("openssl.cnf"), "-days", "30", "-subj", subject],
    ...["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
    ...["-keyout", path(`${name}.key`), "-out", path(`${name}.pem`), ...signedBy]
  ])
  if (made.status !== 0) throw new Error(`openssl could not make ${name}: ${made.stderr.toString()}`)
  return {
    cert: readFileSync(path(`${name}.pem`), "utf8"),
    key: readFileSync(path(`${name}.key`), "utf8")
  }
}

/** Revokes a certificate of the authority and makes its list. */
const revoke = (directory: string, name: string): string => {
  const path = (file: string) => join(directory, file)
  writeFileSync(path("index.txt"), "")
  writeFileSync(path("crlnumber"), "01\n")
  const settings = `database=${path("index.txt")}\ncrlnumber=${path("crlnumber")}\ndefault_md=sha256\ndefault_crl_days=30`
  writeFileSync(path("ca.cnf"), `[ca]\ndefault_ca=d\n[d]\n${settings}\n`)
  const authority = [
    "-config",
    path("ca.cnf"),
    "-cert",
    path("authority.pem"),
    "-keyfile",
    path("authority.key")
  ]
  for (const step of [
    ["-revoke", path(`${name}.pem`)],
    ["-gencrl", "-out", path("crl.pem")]
  ]) {
    const made = spawnSync("openssl", ["ca", ...authority, ...step])
    if (made.status !== 0) throw new Error(`openssl could not revoke ${name}: ${made.stderr.toString()}`)
  }
  return readFileSync(path("crl.pem"), "utf8")
}

let cached: TestCertificates | undefined

/** The certificates of this process. */
export const testCertificates = (): TestCertificates => {
  if (cached !== undefined) return cached
  const directory = mkdtempSync(join(tmpdir(), "heddle-certificates-"))
  try {
    const of = (request: Request) => make(directory, request)
    const signer = "authority"
    const local = "DNS:localhost,IP:127.0.0.1,IP:::1"
    cached = {
      authority: of({ name: "authority", subject: "/CN=Test authority" }),
      rogueAuthority: of({ name: "rogue", subject: "/CN=Rogue authority" }),
      server: of({ name: "server", subject: "/CN=server", altNames: local, signer }),
      renewed: of({ name: "renewed", subject: "/CN=renewed", altNames: local, signer }),
      other: of({ name: "other", subject: "/CN=other", altNames: "DNS:b.test", signer }),
      wildcard: of({ name: "wildcard", subject: "/CN=wildcard", altNames: "DNS:*.wild.test", signer }),
      client: of({
        name: "client",
        subject: "/O=acme/CN=device-1",
        altNames: "DNS:dev.test,URI:urn:dev:1,email:dev@acme.test,IP:192.0.2.7",
        signer
      }),
      rogueClient: of({ name: "rogueClient", subject: "/CN=device-1", signer: "rogue" }),
      hostileClient: of({
        name: "hostileClient",
        subject: "/O=a\\,b/CN=device-1\nCN=admin",
        altNames: "@names",
        section: "[names]\nURI.1=urn:x\\, DNS:admin.test\n",
        signer
      }),
      revokedClient: of({ name: "revoked", subject: "/CN=device-2", signer }),
      revocationList: revoke(directory, "revoked")
    }
    return cached
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}
