/** Mosquitto's command line clients against the broker. */

import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { type InteropBroker, startInteropBroker } from "./interopBroker.ts"
import { endPrograms, isSkipped, Program } from "./Program.ts"

// Real sockets and processes on a busy machine: slow is not wrong.
setDefaultTimeout(20_000)

afterEach(endPrograms)

const versions = ["mqttv31", "mqttv311", "mqttv5"] as const

type Version = (typeof versions)[number]

const qualities = [0, 1, 2] as const

/** One line for each message, unlike anything that the client says of itself. */
const format = "message|%q|%r|%t|%p"

const isLine = /^message\|/

const programs = ["mosquitto_pub", "mosquitto_sub", "mosquitto_rr", "stdbuf"]

describe.skipIf(isSkipped(...programs))("Mosquitto's clients (need mosquitto-clients, openssl)", () => {
  let broker: InteropBroker
  beforeAll(async () => {
    broker = await startInteropBroker()
  })
  afterAll(() => broker.stop())

  const at = (transport: "tcp" | "tls" | "mtls"): ReadonlyArray<string> => {
    const place = ["-h", "127.0.0.1", "-p", String(broker.port(transport))]
    const { ca, cert, key } = broker.files
    if (transport === "tls") return [...place, "--cafile", ca]
    return transport === "tcp" ? place : [...place, "--cafile", ca, "--cert", cert, "--key", key]
  }
  const publish = (version: Version, ...args: ReadonlyArray<string>) =>
    new Program(["mosquitto_pub", ...at("tcp"), "-V", version, ...args]).succeeded()

  /** A subscriber whose SUBACK has come. Its lines come one by one, not when a buffer is full. */
  const subscribe = async (args: ReadonlyArray<string>): Promise<Program> => {
    const subscriber = new Program(["stdbuf", "-oL", "mosquitto_sub", "-d", "-F", format, ...args])
    await subscriber.line(/^Subscribed \(mid: \d+\)/)
    return subscriber
  }
  const messagesOf = async (subscriber: Program): Promise<ReadonlyArray<string>> =>
    (await subscriber.succeeded()).lines.filter((line) => isLine.test(line))

  describe.each(versions.map((version) => [version] as const))("-V %s", (version) => {
    test.each(qualities)("publishes and subscribes with QoS %i", async (qos) => {
      const topic = `${version}/qos/${qos}`
      const count = 50
      const subscriber = await subscribe([
        ...[...at("tcp"), "-V", version, "-q", String(qos), "-C", String(count), "-t", topic]
      ])
      const publisher = new Program([
        ...["mosquitto_pub", ...at("tcp"), "-V", version, "-q", String(qos), "-t", topic, "-l"]
      ])
      const payloads = Array.from({ length: count }, (_, index) => `line ${index}`)
      publisher.write(`${payloads.join("\n")}\n`)
      publisher.endInput()
      await publisher.succeeded()
      expect(await messagesOf(subscriber)).toEqual(
        payloads.map((payload) => `message|${qos}|0|${topic}|${payload}`)
      )
    })

    test("retains, and clears with an empty message", async () => {
      const topic = `${version}/retained`
      await publish(version, "-q", "1", "-r", "-t", topic, "-m", "state")
      const args = [...at("tcp"), "-V", version, "-q", "1", "-C", "1", "-t", topic]
      expect(await messagesOf(await subscribe(args))).toEqual([`message|1|1|${topic}|state`])
      await publish(version, "-q", "1", "-r", "-n", "-t", topic)
      const later = await subscribe(args)
      await publish(version, "-q", "1", "-t", topic, "-m", "fresh")
      expect(await messagesOf(later)).toEqual([`message|1|0|${topic}|fresh`])
    })

    test("leaves a will when it is killed", async () => {
      const topic = `${version}/will`
      const watcher = await subscribe([...at("tcp"), "-V", version, "-q", "2", "-C", "1", "-t", topic])
      const will = ["--will-topic", topic, "--will-payload", "gone", "--will-qos", "2"]
      const victim = await subscribe([...at("tcp"), "-V", version, "-t", `${version}/nothing`, ...will])
      victim.kill("SIGKILL")
      expect(await messagesOf(watcher)).toEqual([`message|2|0|${topic}|gone`])
      await victim.exited
    })

    test("-c resumes its session with what came meanwhile", async () => {
      const topic = `${version}/offline`
      const session = [...at("tcp"), "-V", version, "-i", `${version}-s`, "-c", "-q", "1", "-t", topic]
      const first = await subscribe([...session, "-C", "1"])
      await publish(version, "-q", "1", "-t", topic, "-m", "first")
      expect(await messagesOf(first)).toEqual([`message|1|0|${topic}|first`])
      await publish(version, "-q", "1", "-t", topic, "-m", "second")
      await publish(version, "-q", "1", "-t", topic, "-m", "third")
      // What waited may come before SUBACK, so that it ends without a line about that.
      const second = new Program(["mosquitto_sub", "-F", format, ...session, "-C", "2"])
      expect(await messagesOf(second)).toEqual([`message|1|0|${topic}|second`, `message|1|0|${topic}|third`])
    })

    test.each(["tls", "mtls"] as const)("speaks %s", async (transport) => {
      const topic = `${version}/${transport}`
      const subscriber = await subscribe([...at(transport), "-V", version, "-q", "1", "-C", "1", "-t", topic])
      await new Program([
        ...["mosquitto_pub", ...at(transport), "-V", version, "-q", "1", "-t", topic, "-m", "secret"]
      ]).succeeded()
      expect(await messagesOf(subscriber)).toEqual([`message|1|0|${topic}|secret`])
    })

    test("a client without a certificate is refused where one is required", async () => {
      const { ca } = broker.files
      const place = ["-h", "127.0.0.1", "-p", String(broker.port("mtls")), "--cafile", ca]
      const publisher = new Program([
        "mosquitto_pub",
        ...place,
        "-V",
        version,
        "-q",
        "1",
        "-t",
        "a",
        "-m",
        "b"
      ])
      expect(await publisher.exited).not.toBe(0)
    })

    test("a message of 900 KB goes through a pipe", async () => {
      const topic = `${version}/large`
      const payload = "0123456789".repeat(90_000)
      const subscriber = await subscribe([
        ...[...at("tcp"), "-V", version, "-q", "1", "-C", "1", "-t", topic]
      ])
      const publisher = new Program([
        "mosquitto_pub",
        ...at("tcp"),
        "-V",
        version,
        "-q",
        "1",
        "-t",
        topic,
        "-s"
      ])
      publisher.write(payload)
      publisher.endInput()
      await publisher.succeeded()
      expect(await messagesOf(subscriber)).toEqual([`message|1|0|${topic}|${payload}`])
    })
  })

  test("mosquitto_rr gets its answer, with the correlation data of its question", async () => {
    const responder = new Program([
      ...[
        "stdbuf",
        "-oL",
        "mosquitto_sub",
        ...at("tcp"),
        "-V",
        "mqttv5",
        "-d",
        "-C",
        "1",
        "-t",
        "rr/question"
      ],
      ...["-F", "message|%R|%D|%p"]
    ])
    await responder.line(/^Subscribed/)
    const request = new Program([
      ...["stdbuf", "-oL", "mosquitto_rr", ...at("tcp"), "-V", "mqttv5", "-q", "1", "-t", "rr/question"],
      ...["-e", "rr/answer", "-m", "what?", "-D", "publish", "correlation-data", "17"]
    ])
    expect(await responder.line(isLine)).toBe("message|rr/answer|17|what?")
    await publish(
      "mqttv5",
      "-q",
      "1",
      "-t",
      "rr/answer",
      "-m",
      "42",
      "-D",
      "publish",
      "correlation-data",
      "17"
    )
    expect((await request.succeeded()).lines).toEqual(["42"])
  })

  test("properties of a message come as they were sent", async () => {
    const subscriber = new Program([
      ...[
        "stdbuf",
        "-oL",
        "mosquitto_sub",
        ...at("tcp"),
        "-V",
        "mqttv5",
        "-d",
        "-C",
        "1",
        "-t",
        "properties"
      ],
      ...["-F", "message|%C|%D|%P|%F|%p", "-D", "subscribe", "subscription-identifier", "5"]
    ])
    await subscriber.line(/^Subscribed/)
    await publish(
      "mqttv5",
      ...["-q", "1", "-t", "properties", "-m", "x", "-D", "publish", "content-type", "text/plain"],
      ...["-D", "publish", "correlation-data", "c", "-D", "publish", "payload-format-indicator", "1"],
      ...["-D", "publish", "user-property", "name", "value"]
    )
    expect(await messagesOf(subscriber)).toEqual(["message|text/plain|c|name:value|1|x"])
  })

  test("members of a shared subscription divide the messages", async () => {
    const member = () =>
      subscribe([...at("tcp"), "-V", "mqttv5", "-q", "1", "-C", "5", "-t", "$share/g/shared"])
    const members = [await member(), await member()]
    const publisher = new Program([
      "mosquitto_pub",
      ...at("tcp"),
      "-V",
      "mqttv5",
      "-q",
      "1",
      "-t",
      "shared",
      "-l"
    ])
    publisher.write("0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n")
    publisher.endInput()
    await publisher.succeeded()
    const lines = (await Promise.all(members.map(messagesOf))).flat()
    expect(lines.map((line) => line.split("|")[4]).sort()).toEqual([..."0123456789"])
  })
})
