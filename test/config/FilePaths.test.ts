import { describe, expect, test } from "bun:test"
import { withAbsolutePaths } from "../../src/config/FilePaths.ts"

describe("paths in a configuration file", () => {
  const cases: ReadonlyArray<readonly [name: string, content: unknown, expected: unknown]> = [
    [
      "of certificates are meant from the file's folder",
      {
        listeners: {
          tls: { tls: { cert: "a.pem", key: "../b.key", ca: "/ca.pem", clientCertificates: "none" } }
        }
      },
      {
        listeners: {
          tls: {
            tls: { cert: "/etc/heddle/a.pem", key: "/etc/b.key", ca: "/ca.pem", clientCertificates: "none" }
          }
        }
      }
    ],
    [
      "of further server names as well",
      { listeners: { x: { tls: { sni: [{ names: ["n"], cert: "c", key: "k" }] } } } },
      { listeners: { x: { tls: { sni: [{ names: ["n"], cert: "/etc/heddle/c", key: "/etc/heddle/k" }] } } } }
    ],
    [
      "of a unix socket, but not the URL path of a WebSocket",
      { listeners: { unix: { path: "s" }, local: { transport: "unix", path: "t" }, ws: { path: "/mqtt" } } },
      {
        listeners: {
          unix: { path: "/etc/heddle/s" },
          local: { transport: "unix", path: "/etc/heddle/t" },
          ws: { path: "/mqtt" }
        }
      }
    ],
    [
      "of users are meant from there as well",
      { authentication: { methods: ["password-file"], passwordFile: { path: "users" } } },
      { authentication: { methods: ["password-file"], passwordFile: { path: "/etc/heddle/users" } } }
    ],
    [
      "of rules, one or several, and none where there is none",
      { authorization: { files: ["a.acl", "/b.acl"], directory: "acl" } },
      { authorization: { files: ["/etc/heddle/a.acl", "/b.acl"], directory: "/etc/heddle/acl" } }
    ],
    [
      "of the control socket, unless it is off",
      { control: { path: "run/heddle.sock" } },
      { control: { path: "/etc/heddle/run/heddle.sock" } }
    ],
    ["of no control socket", { control: { path: "off" } }, { control: { path: "off" } }],
    [
      "are left to the schema when they have no such shape",
      { listeners: [1], log: 3 },
      { listeners: [1], log: 3 }
    ],
    ["are none in a file that is no record", "text", "text"]
  ]
  test.each(cases)("%s", (_name, content, expected) => {
    expect(withAbsolutePaths("/etc/heddle/heddle.yaml", content)).toEqual(expected)
  })
})
