/**
 * A verified certificate as an identity: names that later stand in client identifiers, user names and rules,
 * so nothing that could be read in two ways gets through. Control characters (CR and LF among them) never do.
 */

import type { X509Certificate } from "node:crypto"
import type { PeerCertificate } from "./Transport.ts"

// biome-ignore lint/suspicious/noControlCharactersInRegex: the control characters are what is refused
const CONTROL = /[\u0000-\u001f\u007f-\u009f\ufffe\uffff]/

/** What the certificate says; undefined when there is none. */
export const identityOf = (certificate: X509Certificate | undefined): PeerCertificate | undefined => {
  if (certificate === undefined) return undefined
  return {
    commonName: commonNameOf(certificate),
    subject: distinguishedName(certificate.subject),
    subjectAltNames: parseAltNames(certificate.subjectAltName ?? ""),
    fingerprint256: certificate.fingerprint256.replaceAll(":", "").toLowerCase()
  }
}

/** The most specific CN. One that holds control characters is none. */
const commonNameOf = (certificate: X509Certificate): string | undefined => {
  const names: unknown = certificate.toLegacyObject().subject?.CN
  const name: unknown = Array.isArray(names) ? names.at(-1) : names
  return typeof name === "string" && name !== "" && !CONTROL.test(name) ? name : undefined
}

/**
 * The subject in the order of RFC 4514, most specific first. The runtime gives one attribute a line, in the
 * certificate's order, with special and control characters escaped as that RFC asks.
 */
export const distinguishedName = (subject: string): string =>
  subject
    .split("\n")
    .filter((attribute) => attribute !== "")
    .reverse()
    .join(",")

/**
 * Splits `DNS:a, URI:"x, y", IP Address:192.0.2.1`. The runtime writes a value that could be taken for a
 * separator as a JSON string. Kinds other than DNS, URI, email and IP are left out.
 */
export const parseAltNames = (text: string): ReadonlyArray<string> => {
  const names: Array<string> = []
  const entry = /(?:^|, )(DNS|URI|email|IP Address):("(?:[^"\\]|\\.)*"|[^,]*(?:,(?! )[^,]*)*)/g
  for (const [, kind, written] of text.matchAll(entry)) {
    const value = written?.startsWith('"') === true ? unquote(written) : written
    if (value === undefined || value === "" || CONTROL.test(value)) continue
    names.push(`${kind === "IP Address" ? "IP" : kind}:${value}`)
  }
  return names
}

const unquote = (json: string): string | undefined => {
  try {
    const value: unknown = JSON.parse(json)
    return typeof value === "string" ? value : undefined
  } catch {
    return undefined
  }
}
