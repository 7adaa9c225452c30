/**
 * `heddle acl check`, `heddle acl test` and `heddle acl diff`: files of access rules, by themselves and
 * beside those that are in force in a broker that runs.
 */

import { basename } from "node:path"
import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Explanation } from "../auth/Acl.ts"
import type { Identity } from "../auth/Authenticator.ts"
import { readAclFile } from "../auth/acl/AclFiles.ts"
import { type Section, textOfProblem } from "../auth/acl/AclText.ts"
import { actionOf, type Message } from "../auth/acl/actionOf.ts"
import { RuleBook } from "../auth/acl/RuleBook.ts"
import { DEFAULT_TENANT } from "../tenant/TenantDirectory.ts"
import { jsonOption, print, type Target } from "./control.ts"
import { table } from "./table.ts"

/** Told to the person at the terminal. */
class AclRefused extends Data.TaggedError("AclRefused")<{ readonly reason: string }> {
  override get message(): string {
    return this.reason
  }
}

const filesArgument = Args.file({ name: "file", exists: "yes" }).pipe(
  Args.withDescription("Files of access rules, in the order of their rules"),
  Args.atLeast(1)
)

export const aclCommand = <R>(target: Target<R>) =>
  Command.make("acl").pipe(
    Command.withDescription("Look at files of access rules."),
    Command.withSubcommands([checkCommand, testCommand, diffCommand(target)])
  )

const sectionsOf = (files: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const read = yield* Effect.forEach(files, readAclFile)
    const problems = read.flatMap((each) => (Either.isLeft(each) ? each.left.map(textOfProblem) : []))
    if (problems.length > 0) return yield* new AclRefused({ reason: problems.join("\n        ") })
    return read.flatMap((each): ReadonlyArray<Section> => (Either.isRight(each) ? each.right : []))
  })

const checkCommand = Command.make(
  "check",
  { files: filesArgument },
  Effect.fnUntraced(function* ({ files }) {
    const { size } = new RuleBook(yield* sectionsOf(files))
    yield* Console.log(`${files.join(", ")}: ok, ${size} rule${size === 1 ? "" : "s"}`)
  })
).pipe(Command.withDescription("Print every mistake in files of rules, and end with code 1 if there is one."))

const levels: ReadonlyArray<[name: string, qos: Message["qos"]]> = [
  ["0", 0],
  ["1", 1],
  ["2", 2]
]

const optionalText = (name: string, description: string) =>
  Options.text(name).pipe(Options.withDescription(description), Options.optional)

const testCommand = Command.make(
  "test",
  {
    tenant: Options.text("tenant").pipe(Options.withDefault(DEFAULT_TENANT)),
    user: Options.text("user").pipe(
      Options.withDescription("The principal: who the client has proved to be"),
      Options.withDefault("anonymous")
    ),
    client: Options.text("client").pipe(
      Options.withDescription("The client identifier"),
      Options.withDefault("client")
    ),
    username: optionalText("username", "What the client says of itself; the user's name if it is not given"),
    certificate: optionalText("cert-cn", "The common name of the client's certificate"),
    qos: Options.choiceWithValue("qos", levels).pipe(Options.withDefault<Message["qos"]>(0)),
    retain: Options.boolean("retain"),
    file: Args.file({ name: "file", exists: "yes" }),
    action: Args.choice<"publish" | "subscribe">(
      [
        ["publish", "publish"],
        ["subscribe", "subscribe"]
      ],
      { name: "action" }
    ),
    topic: Args.text({ name: "topic" })
  },
  Effect.fnUntraced(function* ({ action: verb, file, qos, retain, topic, ...who }) {
    const sections = yield* sectionsOf([file])
    const action = actionOf(verb, topic, { qos, retain })
    if ("problem" in action) return yield* new AclRefused({ reason: action.problem })
    const explanation = new RuleBook(sections).permissionsOf(identityOf(who)).explain(action)
    const text = textOf(explanation)
    if (explanation.allowed !== true) return yield* new AclRefused({ reason: text })
    yield* Console.log(text)
  })
).pipe(
  Command.withDescription(
    "Print whether a client may publish to a topic, or subscribe to a filter, and the line that decides. " +
      "Ends with code 1 if it may not."
  )
)

interface Who {
  readonly tenant: string
  readonly user: string
  readonly client: string
  readonly username: Option.Option<string>
  readonly certificate: Option.Option<string>
}

const identityOf = ({ certificate, client, tenant, user, username }: Who): Identity => {
  const commonName = Option.getOrUndefined(certificate)
  return {
    tenant,
    principal: user,
    clientId: client,
    username: Option.getOrElse(username, () => user),
    peer: {
      transport: "tcp",
      listener: "",
      address: "",
      port: 0,
      isLoopback: false,
      serverName: undefined,
      certificate:
        commonName === undefined
          ? undefined
          : { commonName, subject: `CN=${commonName}`, subjectAltNames: [], fingerprint256: "" }
    }
  }
}

const textOf = ({ allowed, rule, why }: Explanation): string => {
  const verdict = allowed === true ? "allowed" : "denied"
  return rule === undefined ? `${verdict}: ${why}` : `${verdict} by ${rule.file}:${rule.line}: ${rule.text}`
}

const Compared = Schema.Struct({
  sessions: Schema.Number,
  retained: Schema.Number,
  unknown: Schema.Number,
  lost: Schema.Number,
  losses: Schema.Array(
    Schema.Struct({
      what: Schema.Literal("subscribe", "publish", "will", "retained"),
      clientId: Schema.String,
      principal: Schema.String,
      isConnected: Schema.Boolean,
      topic: Schema.String,
      rule: Schema.optional(
        Schema.Struct({
          text: Schema.String,
          file: Schema.optional(Schema.String),
          line: Schema.optional(Schema.Number)
        })
      )
    })
  )
})

const diffCommand = <R>({ broker, config }: Target<R>) =>
  Command.make(
    "diff",
    {
      config,
      json: jsonOption,
      tenant: Options.text("tenant").pipe(
        Options.withDefault(DEFAULT_TENANT),
        Options.withDescription("The tenant whose clients are looked at")
      ),
      files: filesArgument
    },
    Effect.fnUntraced(function* ({ config: own, files, json, tenant }) {
      const ask = yield* broker(own)
      const system = yield* FileSystem.FileSystem
      const texts = yield* Effect.forEach(files, (path) =>
        Effect.map(system.readFileString(path), (text) => ({ name: basename(path), text }))
      )
      const body = { tenant, files: texts }
      yield* print(json, yield* ask({ method: "POST", path: "/acl/diff", body }, Compared), comparedText)
    })
  ).pipe(
    Command.withDescription(
      "Ask a broker that runs who would lose what if these were its rules. Changes nothing."
    )
  )

const comparedText = ({ losses, lost, retained, sessions, unknown }: typeof Compared.Type): string => {
  const looked = `${sessions} session${sessions === 1 ? "" : "s"} and ${retained} retained messages looked at`
  const summary = [
    lost === 0 ? `nothing would be lost (${looked})` : `${lost} would be lost (${looked})`,
    ...(unknown > 0 ? [`${unknown} cannot be told`] : [])
  ].join("; ")
  if (losses.length === 0) return summary
  const rows = losses.map((loss) => [
    loss.what,
    loss.clientId,
    loss.principal,
    loss.topic,
    loss.rule === undefined ? "no rule" : `${loss.rule.file}:${loss.rule.line}`
  ])
  return `${table(["what", "client", "user", "topic", "because of"], rows)}\n${summary}`
}
