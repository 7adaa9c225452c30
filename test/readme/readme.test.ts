/** The README tells of everything that there is, and its links lead somewhere. */

import { describe, expect, test } from "bun:test"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { examples } from "../../examples/run.ts"
import { limitsTable } from "../../src/config/ConfigText.ts"
import { eventKinds } from "../../src/events/eventKinds.ts"

const root = join(import.meta.dir, "../..")
const readme = readFileSync(join(root, "README.md"), "utf8")

const anchors = [...readme.matchAll(/^#+ (.*)$/gm)].map(
  ([, heading]) =>
    `#${heading!
      .toLowerCase()
      .replace(/[^\w\- ]/g, "")
      .replaceAll(" ", "-")}`
)

const links = [...readme.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link!)

/** The commands with what they belong to: `tenants list`. */
const commands = async (): Promise<ReadonlyArray<string>> => {
  const child = Bun.spawn([process.execPath, join(root, "src/main.ts"), "--help"], {
    env: { ...process.env, NO_COLOR: "1" },
    stdout: "pipe"
  })
  const help = await new Response(child.stdout).text()
  return [...help.matchAll(/^ {2}- ([a-z]+(?: [a-z]+)?)(?= |$)/gm)].map(([, command]) => command!)
}

/** The line of a table, or of an example, that begins with the group also names its other commands. */
const tellsOf = (command: string): boolean => {
  const [group, name] = command.split(" ")
  const lines = readme.split("\n").filter((line) => line.includes(`heddle ${group}`))
  return lines.some((line) => name === undefined || new RegExp(`\\b${name}\\b`).test(line))
}

describe("the README", () => {
  test("tells of every command", async () => {
    const all = await commands()
    expect(all.length).toBeGreaterThan(30)
    expect(all.filter((command) => !tellsOf(command))).toEqual([])
  })

  test("tells of every event", () => {
    expect(Object.keys(eventKinds).filter((tag) => !readme.includes(`\`${tag}\``))).toEqual([])
  })

  test("leads to every example", () => {
    expect(examples.filter((file) => !links.includes(`examples/${file}`))).toEqual([])
  })

  test("has the table of limits", () => {
    expect(readme).toContain(limitsTable())
  })

  test("has no link that leads nowhere", () => {
    const nowhere = links.filter((link) => {
      if (/^https?:/.test(link)) return false
      return link.startsWith("#") ? !anchors.includes(link) : !existsSync(join(root, link))
    })
    expect(nowhere).toEqual([])
    expect(links.length).toBeGreaterThan(20)
  })
})
