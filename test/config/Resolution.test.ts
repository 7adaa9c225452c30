import { describe, expect, test } from "bun:test"
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Redacted from "effect/Redacted"
import { type Config, defaultConfig } from "../../src/config/Config.ts"
import { fixedLeaves, keyOf, listenerLeaves, pathOf, variableOf } from "../../src/config/Keys.ts"
import { type Resolved, resolve } from "../../src/config/Resolution.ts"
import { settingsOf, tenantTableOf } from "../../src/config/tenants.ts"
import { defaultTenantSettings, type TenantSettings } from "../../src/tenant/TenantSettings.ts"

type Env = Readonly<Record<string, string>>

const resolved = (content: unknown, env: Env = {}): Resolved =>
  Either.getOrThrow(resolve({ file: { name: "heddle.yaml", content }, env }))

const config = (content: unknown, env: Env = {}): Config => resolved(content, env).config

/** The problems of a refused configuration, as `key: message`. */
const problems = (content: unknown, env: Env = {}): ReadonlyArray<string> => {
  const result = resolve({ file: { name: "heddle.yaml", content }, env })
  return Either.isLeft(result) ? result.left.problems.map(({ key, message }) => `${key}: ${message}`) : []
}

describe("the defaults", () => {
  test("listen for MQTT on 1883 and for WebSockets on 8083 at /mqtt, on every interface", () => {
    const places = Object.entries(defaultConfig.listeners).map(([name, { transport, host, port, path }]) => ({
      name,
      transport,
      host,
      port,
      path
    }))
    expect(places).toEqual([
      { name: "tcp", transport: "tcp", host: "*", port: 1883, path: undefined },
      { name: "ws", transport: "ws", host: "*", port: 8083, path: "/mqtt" }
    ])
  })

  test("admit anonymous clients from this machine only", () => {
    expect(defaultConfig.authentication.anonymous).toBe("loopback")
  })

  test("of `session` are the tenant's, key by key", () => {
    const session: Partial<TenantSettings> = defaultConfig.session
    expect(defaultTenantSettings).toMatchObject(session)
  })

  test("are the same for an empty file", () => {
    expect(config(null)).toEqual(defaultConfig)
    expect(config({})).toEqual(defaultConfig)
    expect(config({ listeners: {} })).toEqual(defaultConfig)
  })
})

describe("precedence", () => {
  const content = { limits: { connectionsMax: 5 }, log: { level: "debug" } }

  test("the environment goes before the file, the file before the default", () => {
    const { limits, log } = config(content, { HEDDLE_LIMITS_CONNECTIONS_MAX: "7" })
    expect(limits.connectionsMax).toBe(7)
    expect(log.level).toBe("debug")
    expect(limits.acceptRate).toBe(defaultConfig.limits.acceptRate)
  })

  test("each value knows where it came from", () => {
    const { entries } = resolved(content, { HEDDLE_LIMITS_CONNECTIONS_MAX: "7" })
    expect(entries.get("limits.connectionsMax")?.source).toBe("HEDDLE_LIMITS_CONNECTIONS_MAX")
    expect(entries.get("log.level")?.source).toBe("heddle.yaml")
    expect(entries.get("log.format")?.source).toBe("default")
  })

  test("variables that are not Heddle's are left alone, and HEDDLE_CONFIG names the file", () => {
    expect(config({}, { PATH: "/bin", LIMITS: "1", HEDDLE_CONFIG: "x.yaml" })).toEqual(defaultConfig)
  })
})

describe("values", () => {
  test("durations and sizes are read in their units", () => {
    const { limits, shutdown, session } = config({
      limits: { handshakeTimeout: "1m", packetBytesMax: "2MB", connectBytesMax: 4096 },
      shutdown: { drain: "250ms" },
      session: { sessionExpiryIntervalMax: "1h", keepAliveMax: 60, queueBytesMax: "1GB" }
    })
    expect(Duration.toMillis(limits.handshakeTimeout)).toBe(60_000)
    expect(limits.packetBytesMax).toBe(2 * 1024 * 1024)
    expect(limits.connectBytesMax).toBe(4096)
    expect(Duration.toMillis(shutdown.drain)).toBe(250)
    expect(session.sessionExpiryIntervalMax).toBe(3600)
    expect(session.keepAliveMax).toBe(60)
    expect(session.queueBytesMax).toBe(1024 ** 3)
  })

  test("a session that never expires can be said in words", () => {
    expect(config({ session: { sessionExpiryIntervalMax: "never" } }).session.sessionExpiryIntervalMax).toBe(
      0xffff_ffff
    )
  })

  const methods = fixedLeaves.find(({ path }) => path === "authentication.methods")?.facts.allowed
  const refused: ReadonlyArray<readonly [name: string, content: unknown, problem: string]> = [
    [
      "a method twice",
      { authentication: { methods: ["password-file", "password-file"] } },
      `authentication.methods: ["password-file","password-file"] is not allowed; expected ${methods}`
    ],
    [
      "tokens without keys",
      { authentication: { methods: ["jwt"] } },
      "authentication.jwt: needs keys: one of jwt.secret, jwt.file and jwt.url"
    ],
    [
      "tokens with two kinds of keys",
      { authentication: { methods: ["jwt"], jwt: { file: "a", url: "https://b" } } },
      "authentication.jwt: needs keys: one of jwt.secret, jwt.file and jwt.url"
    ],
    [
      "a secret for public keys",
      { authentication: { methods: ["jwt"], jwt: { secret: "s" } } },
      "authentication.jwt.secret: is for algorithm HS256; RS256 needs jwt.file or jwt.url"
    ],
    [
      "a URL for a secret",
      { authentication: { methods: ["jwt"], jwt: { algorithm: "HS256", url: "https://b" } } },
      "authentication.jwt.url: is for public keys; algorithm HS256 needs jwt.secret"
    ],
    [
      "keys in the clear over a network",
      { authentication: { jwt: { url: "http://127.0.0.1.example.com/" } } },
      'authentication.jwt.url: "http://127.0.0.1.example.com/" is not allowed; expected an https: URL (http: on ' +
        'this machine only), or ""'
    ],
    [
      "a service without a URL",
      { authentication: { methods: ["http"] } },
      "authentication.http.url: is required for method http"
    ],
    [
      "a call that may take longer than its method",
      { authentication: { methods: ["http"], timeout: "2s", http: { url: "https://a" } } },
      "authentication.http.timeout: is not less than authentication.timeout, 2s"
    ],
    [
      "a field that no certificate has",
      { authentication: { certificate: { principal: "name" } } },
      'authentication.certificate.principal: "name" is not allowed; expected cn, dns, uri, email, fingerprint or ' +
        "an attribute of the subject such as subject.O"
    ],
    [
      "a pattern that is none",
      { authentication: { certificate: { principalPattern: "(" } } },
      'authentication.certificate.principalPattern: "(" is not allowed; expected a regular expression, or ""'
    ],
    [
      "a method that does not exist",
      { authentication: { methods: ["guess"] } },
      `authentication.methods: ["guess"] is not allowed; expected ${methods}`
    ],
    [
      "a duration without its unit",
      { limits: { handshakeTimeout: 10 } },
      'limits.handshakeTimeout: 10 is not allowed; expected a duration such as "10s", from 100ms to 10m'
    ],
    [
      "a number out of range",
      { session: { receiveMaximum: 0 } },
      "session.receiveMaximum: 0 is not allowed; expected a whole number from 1 to 65535"
    ],
    [
      "a fraction",
      { session: { receiveMaximum: 1.5 } },
      "session.receiveMaximum: 1.5 is not allowed; expected a whole number from 1 to 65535"
    ],
    [
      "a number in quotes",
      { session: { receiveMaximum: "5" } },
      'session.receiveMaximum: "5" is not allowed; expected a whole number from 1 to 65535'
    ],
    [
      "a word that is not on the list",
      { session: { queuePolicy: "drop" } },
      'session.queuePolicy: "drop" is not allowed; expected one of drop-oldest, drop-newest, disconnect'
    ],
    [
      "a QoS that does not exist",
      { session: { maximumQos: 3 } },
      "session.maximumQos: 3 is not allowed; expected one of 0, 1, 2"
    ],
    [
      "a key without a value",
      { log: { level: null } },
      "log.level: null is not allowed; expected one of trace,"
    ],
    ["a value where a section stands", { limits: 3 }, "limits: 3 is not allowed; expected a section of keys"],
    ["a list where a section stands", [1], "heddle.yaml: [1] is not allowed; expected a section of keys"],
    [
      "a section where a value stands",
      { log: { level: { is: "info" } } },
      'log.level: {"is":"info"} is not allowed; expected one of trace,'
    ],
    [
      "what is no network",
      { listeners: { tcp: { proxyProtocol: { networks: ["10.0.0.0/33"] } } } },
      'listeners.tcp.proxyProtocol.networks: ["10.0.0.0/33"] is not allowed; expected a list of addresses or networks'
    ],
    [
      "a password within a URL",
      { events: { webhook: { url: "https://u:canary@example.com/" } } },
      'events.webhook.url: "https://<redacted>@example.com/" is not allowed'
    ],
    [
      "a user that looks like this machine",
      { events: { webhook: { url: "http://localhost:x@example.com/" } } },
      'events.webhook.url: "http://<redacted>@example.com/" is not allowed'
    ],
    [
      "a password within the URL of a collector",
      { tracing: { endpoint: "http://u:canary@example.com:4318" } },
      'tracing.endpoint: "http://<redacted>@example.com:4318" is not allowed'
    ],
    [
      "a shortest keep-alive above the longest",
      { session: { keepAliveMin: 20, keepAliveMax: 10 } },
      "session.keepAliveMin: 20 is more than keepAliveMax, 10"
    ]
  ]
  for (const [name, content, problem] of refused) {
    test(`${name} is refused`, () => {
      const found = problems(content)
      expect(found).toHaveLength(1)
      expect(found[0]).toStartWith(problem)
    })
  }
})

describe("tenants", () => {
  const content = {
    session: { queueMessagesMax: 5, keepAliveMax: "20s" },
    tenants: {
      acme: { publishRate: 100, queueBytesMax: "1MB" },
      "shop.example": { state: "suspended" },
      empty: null,
      __proto__x: { weight: 2 }
    }
  }

  test("have what all have, but for what is said of them", () => {
    const read = config(content)
    expect(Object.keys(read.tenants)).toEqual(["acme", "shop.example", "empty", "__proto__x"])
    expect(read.tenants.acme).toEqual({ state: "active", publishRate: 100, queueBytesMax: 1024 * 1024 })
    expect(settingsOf(read, "acme")).toEqual({
      ...defaultTenantSettings,
      queueMessagesMax: 5,
      keepAliveMax: 20,
      publishRate: 100,
      queueBytesMax: 1024 * 1024
    })
    for (const name of ["empty", "nobody", "toString"]) expect(settingsOf(read, name)).toEqual(read.session)
  })

  test("are a table for their directory", () => {
    const table = tenantTableOf(config(content))
    expect(table.firstSight).toBe("refuse")
    expect([...table.tenants.keys()]).toEqual(["acme", "shop.example", "empty", "__proto__x"])
    expect(table.tenants.get("shop.example")).toEqual({ state: "suspended", settings: table.base })
    expect(table.base).toEqual({ ...defaultTenantSettings, queueMessagesMax: 5, keepAliveMax: 20 })
  })

  test.each([
    ["auto", {}, "create"],
    ["auto", { acme: {} }, "refuse"],
    ["create", { acme: {} }, "create"],
    ["refuse", {}, "refuse"]
  ] as const)("firstSight %s beside %j: %s", (firstSight, tenants, expected) => {
    expect(tenantTableOf(config({ tenancy: { firstSight }, tenants })).firstSight).toBe(expected)
  })

  const refused: ReadonlyArray<
    readonly [name: string, content: unknown, env: Env, problems: ReadonlyArray<string>]
  > = [
    [
      "a setting that does not exist",
      { tenants: { acme: { publishRat: 1 } } },
      {},
      ["tenants.acme.publishRat: unknown key; did you mean publishRate?"]
    ],
    [
      "a value that is not allowed",
      { tenants: { "shop.example": { weight: 0 } } },
      {},
      ['tenants."shop.example".weight: 0 is not allowed; expected a whole number from 1 to 1000']
    ],
    [
      "names of nothing and of what cannot be seen",
      { tenants: { "": {}, " ": {}, "a\nb": {} } },
      {},
      ["", " ", "a\nb"].map(
        (name) =>
          `tenants.${JSON.stringify(name)}: a tenant's name has at most 200 characters, all of which can be seen`
      )
    ],
    [
      "what contradicts what all have",
      { session: { keepAliveMax: "20s" }, tenants: { acme: { keepAliveMin: "1m" }, other: {} } },
      {},
      ["tenants.acme.keepAliveMin: 60 is more than keepAliveMax, 20"]
    ],
    [
      "what contradicts itself for all, once",
      { session: { keepAliveMin: "1m", keepAliveMax: "20s" }, tenants: { acme: { weight: 2 } } },
      {},
      ["session.keepAliveMin: 60 is more than keepAliveMax, 20"]
    ],
    [
      "a variable",
      {},
      { HEDDLE_TENANTS_ACME_WEIGHT: "2" },
      ["HEDDLE_TENANTS_ACME_WEIGHT: tenants are named in the configuration file, under `tenants`"]
    ],
    [
      "a value where a tenant stands",
      { tenants: { acme: 3 } },
      {},
      ["tenants.acme: 3 is not allowed; expected a section of keys"]
    ]
  ]
  for (const [name, content, env, expected] of refused) {
    test(`${name}: refused`, () => {
      expect(problems(content, env)).toEqual(expected)
    })
  }

  test("keys with names of the user's lead back to their paths", () => {
    const name = FastCheck.string({ unit: "grapheme", minLength: 1 })
    FastCheck.assert(
      FastCheck.property(FastCheck.array(name, { minLength: 1, maxLength: 4 }), (path) => {
        expect(pathOf(keyOf(path))).toEqual(path)
      }),
      { seed: 20261122 }
    )
  })
})

describe("names that do not exist", () => {
  const cases: ReadonlyArray<readonly [name: string, content: unknown, env: Env, problem: string]> = [
    ["a section", { limit: {} }, {}, "limit: unknown key; did you mean limits?"],
    [
      "a key",
      { limits: { packetBytes: 1 } },
      {},
      "limits.packetBytes: unknown key; did you mean packetBytesMax?"
    ],
    [
      "a key like no other",
      { log: { colour: 1 } },
      {},
      "log.colour: unknown key; expected one of level, format"
    ],
    [
      "a key among many",
      { session: { qqq: 1 } },
      {},
      "session.qqq: unknown key; see `heddle config` for the names"
    ],
    ["__proto__", JSON.parse('{"__proto__": 1}'), {}, "__proto__: unknown key"],
    [
      "a key of a listener",
      { listeners: { ws: { orgins: [] } } },
      {},
      "listeners.ws.orgins: unknown key; did you mean origins?"
    ],
    [
      "a key within tls",
      { listeners: { tls: { tls: { cert: "c", key: "k", certificate: "c" } } } },
      {},
      "listeners.tls.tls.certificate: unknown key; expected one of cert, key, passphrase, ca, clientCertificates, sni"
    ],
    [
      "a variable",
      {},
      { HEDDLE_LOG_LEVL: "x" },
      "HEDDLE_LOG_LEVL: unknown variable; did you mean HEDDLE_LOG_LEVEL?"
    ],
    [
      "a variable of a listener",
      {},
      { HEDDLE_LISTENERS_TCP_PROT: "1" },
      "HEDDLE_LISTENERS_TCP_PROT: unknown variable; did you mean HEDDLE_LISTENERS_TCP_PORT?"
    ]
  ]
  for (const [name, content, env, problem] of cases) {
    test(`${name} is refused`, () => {
      const found = problems(content, env)
      expect(found).toHaveLength(1)
      expect(found[0]).toStartWith(problem)
    })
  }

  test("every problem is in one message", () => {
    const result = resolve({
      file: { name: "heddle.yaml", content: { limts: 1, log: { level: "loud" } } },
      env: { HEDDLE_SESSION_QUEUE_QOS0: "yes" }
    })
    expect(Either.isLeft(result) && result.left.message.split("\n")).toEqual([
      "3 problems in the configuration (heddle.yaml):",
      "  limts: unknown key; did you mean limits?",
      '  session.queueQos0 (from HEDDLE_SESSION_QUEUE_QOS0): "yes" is not allowed; expected true or false',
      '  log.level: "loud" is not allowed; expected one of trace, debug, info, warning, error, fatal, none'
    ])
  })
})

describe("the environment", () => {
  test("has a variable for every key, each of its own", () => {
    const variables = [
      ...fixedLeaves.map(({ path }) => variableOf(path)),
      ...listenerLeaves.map(({ path }) => variableOf(`listeners.tcp.${path}`))
    ]
    expect(new Set(variables).size).toBe(variables.length)
    expect(variables).toContain("HEDDLE_LIMITS_PACKET_BYTES_MAX")
    expect(variables).toContain("HEDDLE_LISTENERS_TCP_PROXY_PROTOCOL_NETWORKS")
  })

  for (const leaf of fixedLeaves) {
    test(`${variableOf(leaf.path)} takes what a file would say`, () => {
      const { entries } = resolved({}, { [variableOf(leaf.path)]: String(leaf.facts.default) })
      expect(entries.get(leaf.path)).toEqual({ value: leaf.facts.default, source: variableOf(leaf.path) })
    })
  }

  test("lists are separated by commas", () => {
    const env = {
      HEDDLE_LISTENERS_WS_FORWARDED_FOR_NETWORKS: "10.0.0.0/8, ::1",
      HEDDLE_LISTENERS_WS_ORIGINS: ""
    }
    const { ws } = config({}, env).listeners
    expect(ws?.forwardedFor.networks).toEqual(["10.0.0.0/8", "::1"])
    expect(ws?.origins).toEqual([])
  })

  test("lists of objects are JSON", () => {
    const sni = [{ names: ["a.example"], cert: "a.pem", key: "a.key" }]
    const env = {
      HEDDLE_LISTENERS_TLS_TLS_CERT: "c.pem",
      HEDDLE_LISTENERS_TLS_TLS_KEY: "k.pem",
      HEDDLE_LISTENERS_TLS_TLS_SNI: JSON.stringify(sni)
    }
    expect(config({}, env).listeners.tls?.tls?.sni).toEqual(sni)
  })

  test("makes a listener beside the others", () => {
    const { listeners } = config(
      {},
      { HEDDLE_LISTENERS_PLANT_TWO_TRANSPORT: "tcp", HEDDLE_LISTENERS_PLANT_TWO_PORT: "1" }
    )
    expect(Object.keys(listeners)).toEqual(["tcp", "ws", "plant-two"])
    expect(listeners["plant-two"]).toMatchObject({ transport: "tcp", port: 1 })
  })

  test("means a listener that exists rather than a longer key", () => {
    const listeners = { "a-tls": { transport: "tls", tls: { cert: "c", key: "k" } } }
    const { listeners: found } = config({ listeners }, { HEDDLE_LISTENERS_A_TLS_TLS_KEY: "other" })
    expect(found["a-tls"]?.tls?.key).toBe("other")
  })
})

describe("listeners", () => {
  const tls = { cert: "c.pem", key: "k.pem" }

  test("in a file take the place of the default ones", () => {
    expect(Object.keys(config({ listeners: { tls: { tls } } }).listeners)).toEqual(["tls"])
  })

  test("take transport, port and path from their name", () => {
    const { listeners } = config({ listeners: { wss: { tls }, tls: { tls } } })
    expect(listeners.wss).toMatchObject({ transport: "wss", port: 8084, path: "/mqtt" })
    expect(listeners.tls).toMatchObject({ transport: "tls", port: 8883 })
    expect(listeners.tls?.tls).toEqual({ ...tls, clientCertificates: "none", sni: [] })
  })

  test("keep a passphrase out of sight", () => {
    const content = { listeners: { tls: { tls: { ...tls, passphrase: "hunter2" } } } }
    const { passphrase } = config(content).listeners.tls?.tls ?? {}
    expect(passphrase && Redacted.value(passphrase)).toBe("hunter2")
    expect(JSON.stringify(config(content))).not.toContain("hunter2")
    const bad = { listeners: { tls: { tls: { ...tls, passphrase: { secret: "hunter2" } } } } }
    expect(problems(bad)).toEqual([
      "listeners.tls.tls.passphrase: the value is not allowed; expected the passphrase, as text"
    ])
  })

  const refused: ReadonlyArray<readonly [name: string, listeners: unknown, problems: ReadonlyArray<string>]> =
    [
      [
        "a name with capitals",
        { Tcp: {} },
        ["listeners.Tcp: a listener's name is made of lower-case letters, digits and -"]
      ],
      [
        "one without a transport",
        { plant: {} },
        ["listeners.plant.transport: is required; expected one of tcp, tls, ws, wss, unix"]
      ],
      [
        "an unknown transport, as one problem",
        { plant: { transport: "quic" } },
        ['listeners.plant.transport: "quic" is not allowed; expected one of tcp, tls, ws, wss, unix']
      ],
      [
        "TLS without a certificate",
        { tls: {} },
        [
          "listeners.tls.tls.cert: is required for transport tls",
          "listeners.tls.tls.key: is required for transport tls"
        ]
      ],
      ["a unix socket without a path", { unix: {} }, ["listeners.unix.path: is required for transport unix"]],
      [
        "certificates on a plain listener",
        { tcp: { tls } },
        [
          "listeners.tcp.tls.cert: has no meaning for transport tcp, only for tls, wss",
          "listeners.tcp.tls.key: has no meaning for transport tcp, only for tls, wss"
        ]
      ],
      [
        "X-Forwarded-For without HTTP",
        { tcp: { forwardedFor: { networks: ["::1"] } } },
        ["listeners.tcp.forwardedFor.networks: has no meaning for transport tcp, only for ws, wss"]
      ],
      [
        "a WebSocket path that is none",
        { ws: { path: "mqtt" } },
        ["listeners.ws.path: is the URL path of a WebSocket and begins with /"]
      ],
      [
        "client certificates that nobody signed",
        { tls: { tls: { ...tls, clientCertificates: "require" } } },
        ["listeners.tls.tls.clientCertificates: needs tls.ca, the authorities that sign client certificates"]
      ],
      [
        "two on one port",
        { tcp: {}, other: { transport: "tcp", port: 1883 } },
        ["listeners.other: listens on * port 1883, as does listeners.tcp"]
      ],
      ["none that is enabled", { tcp: { enabled: false } }, ["listeners: at least one must be enabled"]],
      [
        "an incomplete server name",
        { tls: { tls: { ...tls, sni: [{ names: [], cert: "c" }] } } },
        [
          'listeners.tls.tls.sni: [{"names":[],"cert":"c"}] is not allowed; ' +
            "expected a list of { names: [host names], cert: PEM file, key: PEM file }"
        ]
      ]
    ]
  for (const [name, listeners, expected] of refused) {
    test(`${name} is refused`, () => {
      expect(problems({ listeners })).toEqual(expected)
    })
  }

  test("may share a port when one is disabled, or when the port is any free one", () => {
    expect(
      problems({ listeners: { tcp: {}, other: { transport: "tcp", port: 1883, enabled: false } } })
    ).toEqual([])
    expect(problems({ listeners: { tcp: { port: 0 }, ws: { port: 0 } } })).toEqual([])
  })
})
