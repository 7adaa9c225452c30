/**
 * What can be made happen in a broker, each with the settings that it needs: whoever tests events plays one
 * and looks at what was reported.
 */

import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import {
  AuthorizationUnavailable,
  Authorizer,
  allowAll,
  type Permissions
} from "../../src/auth/Authorizer.ts"
import { ReasonCode } from "../../src/protocol/ReasonCode.ts"
import { StorageError } from "../../src/storage/StorageError.ts"
import { ClientBalancer } from "../../src/tenant/ClientBalancer.ts"
import { concat, field, hex, properties, type RawConnect, raw } from "../support/raw.ts"
import { SlowJournal } from "../support/slowJournal.ts"
import {
  answeringAuthenticator,
  challengingAuthenticator,
  METHOD,
  refusedWith
} from "../support/testAuthenticator.ts"
import type { TestBroker, TestBrokerOptions, TestClient } from "../support/testBroker.ts"

export interface Happening {
  readonly options?: TestBrokerOptions
  readonly play: (broker: TestBroker) => Promise<void>
}

const v5 = (more: Omit<RawConnect, "version"> = {}): RawConnect => ({ version: 5, ...more })
const illFormed = hex("ff fe")

/** Sends and waits for what follows to be over. */
const say = async (broker: TestBroker, client: TestClient, ...bytes: ReadonlyArray<Uint8Array>) => {
  await client.send(...bytes)
  await broker.settle()
}

/** A first packet, whatever becomes of it. */
const knock = (options: RawConnect, more: TestBrokerOptions = {}): Happening => ({
  options: more,
  play: async (broker) => say(broker, broker.open(options.version ?? 4), raw.connect(options))
})

/** A connected client sends something. */
const sends = (options: RawConnect, bytes: Uint8Array, more: TestBrokerOptions = {}): Happening => ({
  options: more,
  play: async (broker) => say(broker, await broker.connect(options), bytes)
})

const debugging: TestBrokerOptions = { settings: { debugEvents: true } }

const permitted = (changed: Partial<Permissions>): TestBrokerOptions => ({
  authorizer: Layer.succeed(Authorizer, { permissions: () => Effect.succeed({ ...allowAll, ...changed }) })
})

const refusing = (reasonCode: ReasonCode): TestBrokerOptions => ({
  authenticator: answeringAuthenticator(refusedWith(reasonCode))
})

const enhanced = v5({
  properties: concat(properties.authenticationMethod(METHOD), properties.authenticationData("ada"))
})

/** A client that is subscribed to "a" at that QoS, and another that publishes to it. */
const pair = async (broker: TestBroker, qos: 0 | 1 | 2, options: RawConnect = {}) => {
  const reader = await broker.connect({ clientId: "reader", ...options })
  await reader.subscribe(["a", qos])
  const writer = await broker.connect({ clientId: "writer" })
  return { reader, writer }
}

/** A reader that comes again; messages wait for it. */
const persistent: RawConnect = { clean: false }

const away = async (broker: TestBroker, qos: 0 | 1 | 2): Promise<TestClient> => {
  const { reader, writer } = await pair(broker, qos, persistent)
  await say(broker, reader, raw.disconnect())
  return writer
}

/** The journal fails after the clients have come. */
const failingJournal = (play: (broker: TestBroker, journal: SlowJournal) => Promise<void>): Happening => {
  let journal = new SlowJournal()
  return {
    get options() {
      journal = new SlowJournal()
      return { storage: journal.layer }
    },
    play: (broker) => play(broker, journal)
  }
}

const unstorable = new StorageError({ reason: "the disk is full", cause: undefined })

const overQueue = (qos: 0 | 1 | 2): Happening => ({
  options: { settings: { queueMessagesMax: 1, queuePolicy: "drop-newest", queueQos0: true } },
  play: async (broker) => {
    const writer = await away(broker, qos)
    for (const packetId of [1, 2, 3]) await writer.send(raw.publish({ topic: "a", qos, packetId }))
    if (qos === 2) for (const packetId of [1, 2, 3]) await writer.send(raw.pubrel({ packetId }))
    await broker.settle()
  }
})

export const happenings = {
  // Connections that do not come about
  authenticatorFails: knock({}, refusing(ReasonCode.ServerUnavailable)),
  badPassword: knock({}, refusing(ReasonCode.BadUserNameOrPassword)),
  banned: knock({}, refusing(ReasonCode.Banned)),
  unknownMethod: knock(v5(), refusing(ReasonCode.BadAuthenticationMethod)),
  notAuthorized: knock({}, refusing(ReasonCode.NotAuthorized)),
  serverBusy: knock({}, refusing(ReasonCode.ServerBusy)),
  connectsTooFast: knock({}, refusing(ReasonCode.ConnectionRateExceeded)),
  abortsByDisconnect: {
    options: { authenticator: challengingAuthenticator },
    play: async (broker) => {
      const client = broker.open(5)
      await client.send(raw.connect(enhanced))
      await client.expect("auth")
      await say(broker, client, raw.disconnect({ reasonCode: 0 }))
    }
  },
  abortsByLeaving: {
    options: { authenticator: challengingAuthenticator },
    play: async (broker) => {
      const client = broker.open(5)
      await client.send(raw.connect(enhanced))
      await client.expect("auth")
      client.drop()
      await broker.settle()
    }
  },
  tooManyConnections: {
    options: { options: { connectionsMax: 1 } },
    play: async (broker) => {
      await broker.connect()
      broker.open()
      await broker.settle()
    }
  },
  silence: {
    play: async (broker) => {
      broker.open()
      await broker.settle()
      await broker.advance(10_000)
    }
  },
  emptyIdentifier: knock({ clientId: "", clean: false }),
  illFormedIdentifier: knock({ clientId: illFormed }),
  illFormedUsername: knock({ username: illFormed }),
  illFormedWillTopic: knock({ will: { topic: illFormed } }),
  reservedFlag: knock({ flags: 0x03 }),
  noConnect: { play: async (broker) => say(broker, broker.open(), raw.pingreq()) },
  dataWithoutMethod: knock(v5({ properties: properties.authenticationData("x") })),
  unknownVersion: knock({ version: 5, level: 6 }),
  versionTurnedOff: knock(v5(), { settings: { mqtt5: false } }),
  hugeConnect: knock({ username: "u".repeat(2000) }, { options: { connectBytesMax: 1000 } }),
  redirected: knock(v5(), {
    balancer: Layer.succeed(ClientBalancer, {
      redirect: () => Effect.succeed({ permanent: true, serverReference: "elsewhere:1883" })
    })
  }),
  authorizerFails: knock(
    {},
    {
      authorizer: Layer.succeed(Authorizer, {
        permissions: () => new AuthorizationUnavailable({ reason: "down" })
      })
    }
  ),
  noSessionLeft: {
    options: { settings: { sessionsMax: 1 } },
    play: async (broker) => {
      await broker.connect({ clientId: "first" })
      await say(broker, broker.open(), raw.connect({ clientId: "second" }))
    }
  },
  willToForbidden: knock({ will: { topic: "w" } }, permitted({ publish: () => false })),

  // Connections that end
  comes: { play: async (broker) => void (await broker.connect({ will: { topic: "w" }, keepAlive: 30 })) },
  disconnects: sends({}, raw.disconnect()),
  isLost: {
    play: async (broker) => {
      const client = await broker.connect({ will: { topic: "w" } })
      client.drop()
      await broker.settle()
    }
  },
  sendsGarbage: sends({}, raw.packet(0x36, field("a"))),
  sendsConnectAgain: sends(v5(), raw.connect(v5())),
  sendsTooMuch: sends(v5(), raw.publish({ version: 5, payload: "x".repeat(2000) }), {
    options: { packetBytesMax: 1000 }
  }),
  illFormedTopic: sends({}, raw.publish({ topic: illFormed })),
  illFormedFilter: sends({}, raw.subscribe({ filters: [[illFormed, 0]] })),
  unknownAlias: sends(v5(), raw.publish({ version: 5, topic: "a", properties: properties.topicAlias(9) }), {
    settings: { topicAliasMaximum: 5 }
  }),
  unsupportedQos: sends(v5(), raw.publish({ version: 5, qos: 2 }), { settings: { maximumQos: 1 } }),
  tooMuchUnderWay: sends(
    v5(),
    concat(
      raw.publish({ version: 5, qos: 2, packetId: 1 }),
      raw.publish({ version: 5, qos: 2, packetId: 2 })
    ),
    { settings: { receiveMaximum: 1 } }
  ),
  goesSilent: {
    play: async (broker) => {
      await broker.connect({ keepAlive: 10 })
      await broker.advance(15_000)
    }
  },
  isTakenOver: {
    play: async (broker) => {
      await broker.connect()
      await broker.connect()
    }
  },
  isPurged: {
    play: async (broker) => {
      await broker.connect()
      broker.broker.purge("default", "client")
      await broker.settle()
    }
  },
  serverStops: {
    play: async (broker) => {
      const client = await broker.connect(v5())
      const closed = client.untilClosed()
      await broker.stop()
      await closed
    }
  },
  queueOverflowDisconnects: {
    options: { settings: { queueMessagesMax: 1, queuePolicy: "disconnect" } },
    play: async (broker) => {
      const { writer } = await pair(broker, 1, v5({ properties: properties.receiveMaximum(1) }))
      for (const packetId of [1, 2, 3]) await writer.send(raw.publish({ topic: "a", qos: 1, packetId }))
      await broker.settle()
    }
  },
  failsToReauthenticate: {
    options: { authenticator: challengingAuthenticator },
    play: async (broker) => {
      const client = broker.open(5)
      const auth = (reasonCode: number, data: string) =>
        raw.auth({
          reasonCode,
          properties: concat(properties.authenticationMethod(METHOD), properties.authenticationData(data))
        })
      await client.send(raw.connect(enhanced))
      for (const word of ["one", "two"]) {
        await client.expect("auth")
        await client.send(auth(0x18, `${word}!`))
      }
      await client.connected()
      await client.send(auth(0x19, "ada"))
      await client.expect("auth")
      await say(broker, client, auth(0x18, "wrong"))
    }
  },
  credentialsExpire: {
    options: {
      nowMs: 1_800_000_000_000,
      authenticator: answeringAuthenticator({
        _tag: "Accepted",
        tenant: "default",
        principal: "ada",
        validUntilMs: 1_800_000_060_000
      })
    },
    play: async (broker) => {
      await broker.connect({ keepAlive: 0 })
      await broker.advance(60_000)
    }
  },

  // Publishing
  publishForbidden: sends({}, raw.publish({ qos: 1 }), permitted({ publish: () => false })),
  topicTooDeep: sends({}, raw.publish({ topic: "a/b/c" }), { settings: { topicLevelsMax: 2 } }),
  retainsTooMuch: sends({}, raw.publish({ topic: "a", qos: 1, retain: true }), {
    settings: { retainedMessagesMax: 0 }
  }),
  retainsTooMuchUnasked: sends({}, raw.publish({ topic: "a", retain: true }), {
    settings: { retainedMessagesMax: 0 }
  }),
  publishesAndPings: {
    options: debugging,
    play: async (broker) => {
      const client = await broker.connect()
      await say(broker, client, raw.publish({ topic: "a", qos: 1 }), raw.publish({ topic: "a", qos: 2 }))
      await say(broker, client, raw.pingreq())
    }
  },
  retains: {
    options: debugging,
    play: async (broker) => {
      const client = await broker.connect()
      await client.publish("a", "kept", { retain: true })
      await client.subscribe("a")
      await client.expect("publish")
      await say(broker, client, raw.publish({ topic: "a", payload: "", retain: true }))
    }
  },
  willIsForbidden: {
    options: (() => {
      let asked = 0
      return permitted({ publish: () => ++asked === 1 })
    })(),
    play: async (broker) => {
      const client = await broker.connect({ will: { topic: "w", qos: 1 } })
      client.drop()
      await broker.settle()
    }
  },
  notStored: (qos: 1 | 2): Happening =>
    failingJournal(async (broker, journal) => {
      const { writer } = await pair(broker, qos, persistent)
      journal.isSlow = true
      await say(broker, writer, raw.publish({ topic: "a", qos }))
      journal.settle(unstorable)
      await broker.settle()
    }),

  publishesTooFast: (version: 4 | 5): Happening => ({
    options: { settings: { publishRate: 1, burstSeconds: 1 } },
    play: async (broker) => {
      const client = await broker.connect({ version })
      for (let n = 0; n < 3; n++) await client.send(raw.publish({ version, topic: "a" }))
      await broker.settle()
    }
  }),
  usesUpItsDay: {
    options: { settings: { messagesPerDay: 5 } },
    play: async (broker) => {
      const client = await broker.connect()
      for (let n = 0; n < 4; n++) await say(broker, client, raw.publish({ topic: "a" }))
    }
  },

  // Subscribing
  matchesTooMuch: {
    options: { settings: { retainedMatchMax: 1 } },
    play: async (broker) => {
      const client = await broker.connect()
      for (const topic of ["a", "b"]) await client.publish(topic, "kept", { retain: true })
      await say(broker, client, raw.subscribe({ filters: ["#"] }))
    }
  },
  subscribes: {
    play: async (broker) => {
      const client = await broker.connect()
      await client.subscribe(["a", 1], "b/#")
      await client.send(raw.unsubscribe({ filters: ["a", "nothing"] }))
      await client.expect("unsuback")
    }
  },
  subscribeForbidden: sends({}, raw.subscribe(), permitted({ subscribe: () => false })),
  invalidFilter: sends({}, raw.subscribe({ filters: ["a/b/c"] }), { settings: { topicLevelsMax: 2 } }),
  subscribesTooMuch: sends({}, raw.subscribe({ filters: ["a", "b"] }), { settings: { subscriptionsMax: 1 } }),
  manyFiltersAtOnce: sends(v5(), raw.subscribe({ version: 5, filters: ["a", "b"] }), {
    settings: { topicFiltersPerPacketMax: 1 }
  }),
  subscriptionNotStored: failingJournal(async (broker, journal) => {
    const client = await broker.connect(persistent)
    journal.become("failing")
    await say(broker, client, raw.subscribe())
  }),

  // Delivering
  delivers: (qos: 0 | 1 | 2): Happening => ({
    options: debugging,
    play: async (broker) => {
      const { reader, writer } = await pair(broker, qos)
      await writer.send(raw.publish({ topic: "a", qos, packetId: 1 }))
      const { messageId: packetId = 0 } = await reader.expect("publish")
      if (qos === 1) await say(broker, reader, raw.puback({ packetId }))
      if (qos === 2) {
        await reader.send(raw.pubrec({ packetId }))
        await reader.expect("pubrel")
        await say(broker, reader, raw.pubcomp({ packetId }))
      }
      await broker.settle()
    }
  }),
  overQueue,
  tooLarge: {
    play: async (broker) => {
      const { writer } = await pair(broker, 0, v5({ properties: properties.maximumPacketSize(30) }))
      await say(broker, writer, raw.publish({ topic: "a", payload: "x".repeat(100) }))
    }
  },
  expires: {
    play: async (broker) => {
      await away(broker, 1)
      const writer = await broker.connect(v5({ clientId: "w5" }))
      const expiring = properties.messageExpiryInterval(5)
      await say(broker, writer, raw.publish({ version: 5, topic: "a", qos: 1, properties: expiring }))
      await broker.advance(10_000)
      await broker.connect({ clientId: "reader", ...persistent })
      await broker.settle()
    }
  },
  mayNotReceive: {
    options: permitted({ deliver: () => false }),
    play: async (broker) => {
      const { writer } = await pair(broker, 1)
      await say(broker, writer, raw.publish({ topic: "a", qos: 1 }))
    }
  },
  isTooSlow: {
    options: { wireBytesMax: 64, settings: { outboundBytesMax: 1024 } },
    play: async (broker) => {
      const { writer } = await pair(broker, 0)
      for (let n = 0; n < 50; n++) {
        await say(broker, writer, raw.publish({ topic: "a", payload: "x".repeat(100) }))
      }
    }
  },
  stalls: {
    options: { settings: { stalledAfter: 20 } },
    play: async (broker) => {
      const { writer } = await pair(broker, 1)
      await say(broker, writer, raw.publish({ topic: "a", qos: 1 }))
      await broker.advance(21_000)
      await broker.advance(1000)
    }
  },
  groupIsGone: {
    play: async (broker) => {
      const member = await broker.connect(persistent)
      await member.subscribe(["$share/g/a", 1])
      await say(broker, member, raw.disconnect())
      const writer = await broker.connect({ clientId: "writer" })
      await writer.publish("a")
      broker.broker.purge("default", "client")
      await broker.settle()
    }
  },
  tenantQueueFull: {
    options: { settings: { tenantQueueBytesMax: 10 } },
    play: async (broker) => {
      const writer = await away(broker, 1)
      await say(broker, writer, raw.publish({ topic: "a", qos: 1, payload: "x".repeat(100) }))
    }
  },
  storageFails: failingJournal(async (broker, journal) => {
    const { writer } = await pair(broker, 1, persistent)
    journal.become("failing")
    await say(broker, writer, raw.publish({ topic: "a", qos: 1 }))
  }),

  keptByTooMany: {
    options: { settings: { persistentFanoutMax: 1 } },
    play: async (broker) => {
      await broker.connect({ clientId: "second", ...persistent }).then((second) => second.subscribe(["a", 1]))
      const writer = await away(broker, 1)
      await say(broker, writer, raw.publish({ topic: "a", qos: 1 }))
    }
  },
  keptTooLarge: {
    options: { settings: { persistentFanoutBytesMax: 10 } },
    play: async (broker) => {
      const writer = await away(broker, 1)
      await say(broker, writer, raw.publish({ topic: "a", qos: 1, payload: "x".repeat(11) }))
    }
  },
  toTooManyGroups: {
    options: { settings: { sharedGroupFanoutMax: 1 } },
    play: async (broker) => {
      const client = await broker.connect()
      await client.subscribe("$share/one/a", "$share/two/a")
      await say(broker, client, raw.publish({ topic: "a", qos: 1 }))
    }
  },

  // Sessions
  sessionEnds: {
    play: async (broker) => {
      const client = await broker.connect()
      await say(broker, client, raw.disconnect())
    }
  },
  sessionIsReplaced: {
    play: async (broker) => {
      const client = await broker.connect(persistent)
      await say(broker, client, raw.disconnect())
      await broker.connect({ clean: true })
    }
  },
  sessionExpires: {
    play: async (broker) => {
      const client = await broker.connect(v5({ properties: properties.sessionExpiryInterval(60) }))
      client.drop()
      await broker.settle()
      await broker.advance(60_000)
    }
  }
} satisfies Record<string, Happening | ((qos: 1 & 2) => Happening) | ((qos: 0 | 1 | 2) => Happening)>
