/** Names out of certificates: which rule finds which, and that none gets a name that it does not have. */

import { describe, expect, test } from "bun:test"
import * as FastCheck from "effect/FastCheck"
import {
  type CertificateMethodOptions,
  type CertificateRule,
  certificateMethod
} from "../../../src/auth/certificate/CertificateMethod.ts"
import { subjectValues } from "../../../src/auth/certificate/subjectValues.ts"
import type { PeerCertificate } from "../../../src/transport/Transport.ts"
import { credentials, tell } from "../../support/credentials.ts"

const device: PeerCertificate = {
  commonName: "device-1",
  subject: "CN=device-1,O=acme,OU=a,OU=b",
  subjectAltNames: [
    "DNS:d1.acme.test",
    "DNS:d1.globex.test",
    "URI:urn:dev:1",
    "email:d1@acme.test",
    "IP:192.0.2.7"
  ],
  fingerprint256: "ab".repeat(32)
}

const rule = (field: CertificateRule["field"], pattern = ""): CertificateRule => ({ field, pattern })

const judge = (
  options: CertificateMethodOptions,
  certificate: PeerCertificate | undefined = device,
  more = {}
) => tell(certificateMethod(options).authenticate(credentials({ peer: { certificate }, ...more })))

describe("a certificate", () => {
  const cn = rule("cn")
  const rows: ReadonlyArray<readonly [name: string, options: CertificateMethodOptions, result: string]> = [
    ["by its common name", { principal: cn, tenant: undefined }, "default/device-1"],
    ["with its organisation for a tenant", { principal: cn, tenant: rule("subject.O") }, "acme/device-1"],
    ["with an attribute in lower case", { principal: cn, tenant: rule("subject.o") }, "acme/device-1"],
    ["by a URI", { principal: rule("uri", "urn:dev:(\\d+)"), tenant: undefined }, "default/1"],
    ["by an address of mail", { principal: rule("email"), tenant: undefined }, "default/d1@acme.test"],
    [
      "by its fingerprint",
      { principal: rule("fingerprint"), tenant: undefined },
      `default/${"ab".repeat(32)}`
    ],
    [
      "by one of several names",
      { principal: rule("dns", "(.+)\\.acme\\.test"), tenant: undefined },
      "default/d1"
    ],
    ["whose names say the same", { principal: rule("dns", "(d1)\\..*"), tenant: undefined }, "default/d1"],
    ["whose names do not say the same", { principal: rule("dns"), tenant: undefined }, "0x87"],
    ["whose tenants do not say the same", { principal: cn, tenant: rule("subject.OU") }, "0x87"],
    ["without the name", { principal: rule("subject.L"), tenant: undefined }, "NotMine"],
    ["without a tenant", { principal: cn, tenant: rule("subject.L") }, "NotMine"],
    ["that matches in part only", { principal: rule("cn", "device"), tenant: undefined }, "NotMine"],
    [
      "of which alternatives match in part only",
      { principal: rule("cn", "x|device"), tenant: undefined },
      "NotMine"
    ],
    ["with nothing in the group", { principal: rule("cn", "()device-1"), tenant: undefined }, "NotMine"]
  ]
  for (const [name, options, result] of rows) {
    test(`${name}: ${result}`, async () => expect(await judge(options)).toBe(result))
  }

  test("that is not there is another method's, and so is enhanced authentication", async () => {
    const options = { principal: cn, tenant: undefined }
    expect(await tell(certificateMethod(options).authenticate(credentials()))).toBe("NotMine")
    expect(await judge(options, device, { authenticationMethod: "M" })).toBe("NotMine")
  })

  test("[attack 30] with control characters in its name has none", async () => {
    for (const commonName of ["device-1\nCN=admin", "admin\u0000", ""]) {
      expect(await judge({ principal: cn, tenant: undefined }, { ...device, commonName })).toBe("NotMine")
    }
  })
})

describe("a distinguished name", () => {
  const rows: ReadonlyArray<readonly [subject: string, attribute: string, values: ReadonlyArray<string>]> = [
    ["CN=a,O=b", "O", ["b"]],
    ["CN=a+O=b", "O", ["b"]],
    ["CN=a\\,O=b", "O", []],
    ["CN=a\\,O=b", "CN", ["a,O=b"]],
    ["CN=a\\\\,O=b", "O", ["b"]],
    ["CN=a\\2CO=b", "CN", ["a,O=b"]],
    ["CN=\\C3\\A4", "CN", ["ä"]],
    ["CN=a=b", "CN", ["a=b"]],
    ["XCN=a", "CN", []],
    ["", "CN", []]
  ]
  for (const [subject, attribute, values] of rows) {
    test(`${subject} has ${attribute} ${JSON.stringify(values)}`, () =>
      expect(subjectValues(subject, attribute)).toEqual(values))
  }

  test("gives back what was put in, and nothing else", () => {
    const escaped = (value: string) => value.replace(/[\\,+="<>;#]/g, "\\$&")
    FastCheck.assert(
      FastCheck.property(FastCheck.string(), FastCheck.string(), (name, organisation) => {
        const subject = `CN=${escaped(name)},O=${escaped(organisation)}`
        expect(subjectValues(subject, "CN")).toEqual([name])
        expect(subjectValues(subject, "O")).toEqual([organisation])
      })
    )
  })
})
