/**
 * The rules of the house that a machine can check, so that nobody has to remember them: which layer may
 * import which, how long files, functions and lines may be, and spellings that are refused on sight.
 *
 * An exception stands in the table beside its rule, with its reason; one that is no longer needed fails too.
 */

import { describe, expect, test } from "bun:test"
import { readdirSync, readFileSync } from "node:fs"
import { join, posix } from "node:path"
import manifest from "../package.json" with { type: "json" }

const root = join(import.meta.dir, "..")

const filesBelow = (directory: string, extension: RegExp): ReadonlyArray<string> =>
  readdirSync(join(root, directory), { recursive: true, encoding: "utf8" })
    .map((name) => posix.join(directory, name.replaceAll("\\", "/")))
    .filter((name) => extension.test(name))
    .sort()

const read = (file: string): string => readFileSync(join(root, file), "utf8")

const sources = filesBelow("src", /\.(ts|mjs)$/)
const tests = filesBelow("test", /\.ts$/)
const examples = filesBelow("examples", /\.ts$/)
const texts = new Map([...sources, ...tests, ...examples].map((file) => [file, read(file)]))

const textOf = (file: string): string => texts.get(file) ?? ""

interface Import {
  readonly from: string
  readonly typeOnly: boolean
}

const importsOf = (file: string): ReadonlyArray<Import> =>
  [...textOf(file).matchAll(/^(?:import|export)\s+(type\s)?(?:[^"']*?from\s+)?"([^"]+)"/gm)].map(
    ([, type, from]) => ({ from: from!, typeOnly: type !== undefined })
  )

const tenantPorts = [
  "ClientBalancer",
  "ConfiguredTenants",
  "storedDirectory",
  "TenantDirectory",
  "TenantSettings"
]

/**
 * The layers, inner before outer. A file belongs to the first layer that has it, and imports from its own
 * layer and from those named beside it.
 */
const layers: ReadonlyArray<{
  readonly name: string
  readonly has: RegExp
  readonly imports: ReadonlyArray<string>
}> = [
  { name: "protocol", has: /^src\/protocol\//, imports: [] },
  { name: "topic", has: /^src\/topic\//, imports: [] },
  { name: "actor", has: /^src\/actor\//, imports: [] },
  { name: "transport port", has: /^src\/transport\/(Transport|Cidr)\.ts$/, imports: [] },
  { name: "values", has: /^src\/values\//, imports: ["transport port"] },
  {
    name: "ports",
    has: new RegExp(
      [
        "^src/(auth|storage|events|telemetry)/",
        `^src/tenant/(${tenantPorts.join("|")})\\.ts$`,
        "^src/tenant/(settings|quota|policy)/"
      ].join("|")
    ),
    imports: ["protocol", "topic", "transport port", "values"]
  },
  { name: "transport", has: /^src\/transport\//, imports: ["transport port", "actor", "ports"] },
  { name: "cluster", has: /^src\/cluster\//, imports: ["protocol", "topic", "actor", "ports"] },
  {
    name: "router",
    has: /^src\/router\//,
    imports: ["protocol", "topic", "actor", "ports", "transport port", "cluster"]
  },
  {
    name: "session",
    has: /^src\/session\//,
    imports: ["protocol", "topic", "actor", "ports", "transport port", "router"]
  },
  {
    name: "tenant",
    has: /^src\/tenant\//,
    imports: ["protocol", "topic", "actor", "ports", "transport port", "cluster", "router", "session"]
  },
  {
    name: "connection",
    has: /^src\/connection\//,
    imports: ["protocol", "topic", "actor", "ports", "transport port", "router", "session", "tenant"]
  },
  {
    name: "configuration",
    has: /^src\/config\//,
    imports: ["values", "ports", "transport", "transport port"]
  },
  { name: "launcher", has: /^src\/launch\.mjs$/, imports: [] },
  {
    name: "whole",
    has: /^src\/[A-Z]\w*\.ts$/,
    imports: [
      ...[
        "protocol",
        "topic",
        "actor",
        "ports",
        "transport port",
        "transport",
        "cluster",
        "router",
        "session",
        "tenant"
      ],
      ...["connection", "configuration", "values"]
    ]
  },
  {
    name: "explanation",
    has: /^src\/explain\//,
    imports: ["whole", "tenant", "session", "router", "ports", "topic", "protocol"]
  },
  {
    name: "control",
    has: /^src\/control\//,
    imports: ["whole", "explanation", "configuration", "tenant", "ports", "protocol", "transport port"]
  },
  {
    name: "command line",
    has: /^src\/cli\//,
    imports: [
      "values",
      "whole",
      "control",
      "explanation",
      "configuration",
      "ports",
      "transport",
      "transport port"
    ]
  },
  { name: "main", has: /^src\/main\.ts$/, imports: ["command line"] }
]

const layerOf = (file: string) => layers.find((layer) => layer.has.test(file))

describe("layers", () => {
  test("every source file belongs to one", () => {
    expect(sources.filter((file) => layerOf(file) === undefined)).toEqual([])
  })

  test("nothing inner imports anything outer", () => {
    const wrong = sources.flatMap((file) => {
      const layer = layerOf(file)
      return importsOf(file)
        .filter(({ from }) => from.startsWith("."))
        .map(({ from }) => posix.join(posix.dirname(file), from))
        .filter((target) => target.startsWith("src/"))
        .map((target) => ({ target, name: layerOf(target)?.name ?? "none" }))
        .filter(({ name }) => name !== layer?.name && layer?.imports.includes(name) !== true)
        .map(({ target, name }) => `${file} (${layer?.name}) imports ${target} (${name})`)
    })
    expect(wrong).toEqual([])
  })

  test("protocol and topic use no effects, and of packages only pure data", () => {
    const allowed = ["effect/Data", "mqtt-packet", "node:buffer"]
    const wrong = sources
      .filter((file) => /^src\/(protocol|topic)\//.test(file))
      .flatMap((file) =>
        importsOf(file)
          .filter(({ from, typeOnly }) => !from.startsWith(".") && !typeOnly && !allowed.includes(from))
          .map(({ from }) => `${file}: ${from}`)
      )
    expect(wrong).toEqual([])
  })

  test("the session's machine is pure: it names effects in types only", () => {
    const actors = [
      "src/session/Session.ts",
      "src/session/SessionOutlet.ts",
      "src/session/SessionServices.ts"
    ]
    const wrong = sources
      .filter((file) => file.startsWith("src/session/") && !actors.includes(file))
      .flatMap((file) =>
        importsOf(file)
          .filter(({ from, typeOnly }) => from.startsWith("effect") && !typeOnly)
          .map(({ from }) => `${file}: ${from}`)
      )
    expect(wrong).toEqual([])
  })

  test("imports name files: of ours with extension, of effect by module, of Node.js by scheme", () => {
    const wrong = [...texts.keys()].flatMap((file) =>
      importsOf(file)
        .filter(({ from }) =>
          from.startsWith(".") ? !/\.(ts|mjs|json)$/.test(from) : /^(effect|fs|net|os|path)$/.test(from)
        )
        .map(({ from }) => `${file}: ${from}`)
    )
    expect(wrong).toEqual([])
  })

  test("there are no barrels", () => {
    expect([...texts.keys()].filter((file) => /\/index\.ts$/.test(file))).toEqual([])
  })
})

const fileLinesMax = 500
const functionLinesMax = 70
const columnsMax = 110

/**
 * The lines of each function: from a line that ends in `=> {` or opens a body, to the brace at its
 * indentation.
 */
const functionsOf = (text: string): ReadonlyArray<{ readonly line: number; readonly lines: number }> => {
  const lines = text.split("\n")
  const opens = /(=>|\)|\) *: *[^=;]+) \{$|function\*? ?\(.*\) \{$/
  const control = /^\s*(\} else )?(if|for|while|switch|try|catch|do)\b|^\s*(export )?(interface|class|type) /
  return lines.flatMap((line, index) => {
    if (!opens.test(line) || control.test(line)) return []
    const indent = /^\s*/.exec(line)![0]
    const length = lines.slice(index).findIndex((next) => next.startsWith(`${indent}}`))
    return length === -1 ? [] : [{ line: index + 1, lines: length + 1 }]
  })
}

describe("sizes", () => {
  test(`a source file has at most ${fileLinesMax} lines`, () => {
    const long = sources
      .map((file) => ({ file, lines: textOf(file).split("\n").length - 1 }))
      .filter(({ lines }) => lines > fileLinesMax)
    expect(long).toEqual([])
  })

  test(`a function has at most ${functionLinesMax} lines`, () => {
    const long = sources.flatMap((file) =>
      functionsOf(textOf(file))
        .filter(({ lines }) => lines > functionLinesMax)
        .map(({ line, lines }) => `${file}:${line} has ${lines} lines`)
    )
    expect(long).toEqual([])
  })

  test("the measure of functions finds them", () => {
    const text = "const a = (x: number): void => {\n  if (x) {\n  }\n}\nclass B {\n  c(): void {\n  }\n}\n"
    expect(functionsOf(text)).toEqual([
      { line: 1, lines: 4 },
      { line: 6, lines: 2 }
    ])
  })

  test(`a line has at most ${columnsMax} columns, unless a test's data is one long string`, () => {
    const data = /"[^"]{50,}"|'[^']{50,}'|`[^`]{50,}`/
    const long = [...texts].flatMap(([file, text]) =>
      text
        .split("\n")
        .map((line, index) => ({ line, place: `${file}:${index + 1}` }))
        .filter(({ line }) => line.length > columnsMax && (file.startsWith("src/") || !data.test(line)))
        .map(({ place }) => place)
    )
    expect(long).toEqual([])
  })
})

/**
 * Comments and strings may name what code may not do; a spelling in `code` is looked for without comments.
 */
const withoutComments = (text: string): string =>
  text
    .replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, " "))
    .replace(/(^|\s)\/\/ .*$/gm, "")

interface Spelling {
  readonly name: string
  readonly spelling: RegExp
  readonly why: string
  readonly where: RegExp
  /** File to reason. */
  readonly except?: Readonly<Record<string, string>>
}

const everywhere = /./
const inSources = /^src\//

const refused: ReadonlyArray<Spelling> = [
  { name: "any", spelling: /\bas any\b|: any\b|<any>/, why: "say what it is, or unknown", where: everywhere },
  {
    name: "compiler directives",
    // Spelled in two parts, so that a search for the directives does not find this line.
    spelling: new RegExp("@ts-" + "(ignore|expect-error|nocheck)"),
    why: "mend the type",
    where: everywhere
  },
  { name: "the wall clock", spelling: /\bDate\.now\(|\bnew Date\(\)/, why: "take nowMs", where: inSources },
  { name: "chance", spelling: /\bMath\.random\(/, why: "take a seeded Random", where: everywhere },
  {
    name: "timers",
    spelling: /\bset(Timeout|Interval)\(|\bEffect\.sleep\(/,
    why: "use the deadline wheel",
    where: inSources,
    except: { "src/actor/Timekeeper.ts": "the one timer that turns every wheel" }
  },
  {
    name: "running effects",
    spelling: /\bEffect\.run(Sync|Promise|Fork|Callback)(Exit)?\b/,
    why: "main.ts runs the one effect that there is",
    where: inSources,
    except: { "src/storage/sqlite/worker.ts": "a thread of its own, which has one effect as well" }
  },
  { name: "errors without a type", spelling: /\bnew Error\(/, why: "name what failed", where: inSources },
  {
    name: "unfinished work",
    spelling: new RegExp("\\bTO" + "DO\\b|\\bFIX" + "ME\\b"),
    why: "do it",
    where: everywhere
  },
  {
    name: "sleeping tests",
    spelling: /\bBun\.sleep\(/,
    why: "wait for an event",
    where: /^test\/(?!bench|soak|interop)/
  },
  {
    name: "tests that do not run",
    spelling: /\b(test|describe|it|live|effect)\.(skip|todo|only|failing)\b/,
    why: "run it or remove it",
    where: everywhere
  },
  {
    name: "errors that nobody sees",
    spelling: /catchAll(Cause)?\(\(\) => Effect\.void\)|\bEffect\.ignore\b/,
    why: "a message can be lost here",
    where: inSources
  },
  {
    name: "machine paths and registries",
    spelling: new RegExp(["/work" + "/", "/ro" + "ot/", "/tmp/" + "lab", "registry\\." + "npmjs"].join("|")),
    why: "they are of one machine",
    where: everywhere
  }
]

describe("spellings", () => {
  for (const { name, spelling, why, where, except = {} } of refused) {
    test(`${name}: ${why}`, () => {
      const inComments =
        name === "unfinished work" || name === "compiler directives" || name.startsWith("machine")
      const found = [...texts]
        .filter(([file]) => where.test(file) && file !== "test/tidy.test.ts")
        .flatMap(([file, text]) =>
          (inComments ? text : withoutComments(text))
            .split("\n")
            .flatMap((line, index) => (spelling.test(line) ? [{ file, place: `${file}:${index + 1}` }] : []))
        )
      expect(found.filter(({ file }) => except[file] === undefined).map(({ place }) => place)).toEqual([])
      const used = new Set(found.map(({ file }) => file))
      expect(Object.keys(except).filter((file) => !used.has(file))).toEqual([])
    })
  }
})

describe("the repository", () => {
  test("has one lock file, with no address of a registry in it", () => {
    expect(read("bun.lock")).not.toMatch(/https?:\/\//)
    const locks = ["package-lock.json", "yarn.lock", "pnpm-lock.yaml", "bun.lockb"]
    const ignored = read(".gitignore").split("\n")
    expect(readdirSync(root).filter((name) => locks.includes(name) && !ignored.includes(name))).toEqual([])
  })

  test("pins every dependency", () => {
    const versions = Object.values({ ...manifest.dependencies, ...manifest.devDependencies })
    expect(versions.filter((version) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([])
  })

  test("names one version of Bun", () => {
    const images = [...read("Dockerfile").matchAll(/^FROM oven\/bun:(\S+?)-slim/gm)].map(
      ([, version]) => version
    )
    expect(images).toEqual([manifest.devDependencies.bun, manifest.devDependencies.bun])
    expect(Bun.version).toBe(manifest.devDependencies.bun)
  })

  test("names no file in a script that does not exist", () => {
    const files = Object.values(manifest.scripts).flatMap(
      (script) => script.match(/\b[\w./-]+\.(ts|mjs)\b/g) ?? []
    )
    expect(files.filter((file) => !Bun.file(join(root, file)).size)).toEqual([])
  })
})
