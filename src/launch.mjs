/**
 * Sets the checkout up and hands over to Bun: `node src/launch.mjs ARGS...` ends as `bun ARGS...`.
 *
 * Runs under Node.js and under Bun alike and uses nothing but their common built-ins, because it starts
 * before anything is installed. On a machine with only Node.js and npm, Bun comes as the npm package whose
 * exact version `package.json` names. A stamp in node_modules says that the installed packages are those of
 * `package.json` and `bun.lock`, so that a second start installs nothing. The packages' own Bun then runs
 * everything, whichever Bun or Node.js started this file.
 *
 * The child has a process group of its own, so that a Ctrl-C, which reaches every process of a terminal's
 * group and which npm also passes on, arrives at the broker exactly once: from here. The scripts say `exec`,
 * because npm signals the shell, and a shell that stayed between would die of it and leave the broker behind.
 */

import { spawn, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { constants } from "node:os"
import { basename, dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const modules = join(root, "node_modules")
const stampFile = join(modules, ".heddle-setup.json")
const bootstrapDirectory = join(root, ".heddle", "bun")
const windows = process.platform === "win32"

const manifest = readFileSync(join(root, "package.json"), "utf8")
/** @type {string} */
const bunVersion = JSON.parse(manifest).devDependencies.bun

const say = (line) => process.stderr.write(`heddle: ${line}\n`)

const fail = (line) => {
  say(line)
  process.exit(1)
}

/** What the installed packages follow from. */
const fingerprint = () =>
  createHash("sha256")
    .update(manifest)
    .update(readFileSync(join(root, "bun.lock")))
    .update(`${process.platform} ${process.arch}`)
    .digest("hex")

/** The version that a Bun executable reports; undefined when it does not run here. */
const versionOf = (executable) => {
  const { status, stdout } = spawnSync(executable, ["--version"], { encoding: "utf8", windowsHide: true })
  return status === 0 ? stdout.trim() : undefined
}

/** True for the pinned version's minor line or a newer one of the same major. */
const isRecent = (version) => {
  if (version === undefined) return false
  const [major, minor] = version.split(".").map(Number)
  const [wantedMajor, wantedMinor] = bunVersion.split(".").map(Number)
  return major === wantedMajor && minor >= wantedMinor
}

/**
 * The Bun inside an installed npm package `bun`. Its post-install script puts the binary at
 * `bun/bin/bun.exe`; where npm does not run such scripts, the binary is still where the platform's package
 * has it.
 */
const packagedBun = (directory) => {
  const platforms = join(directory, "@oven")
  const candidates = [join(directory, "bun", "bin", "bun.exe")]
  for (const name of existsSync(platforms) ? readdirSync(platforms) : []) {
    candidates.push(join(platforms, name, "bin", windows ? "bun.exe" : "bun"))
  }
  return candidates.find((candidate) => existsSync(candidate) && versionOf(candidate) === bunVersion)
}

/** A Bun that the machine has already: the one that runs this file, that started it, or that PATH names. */
const machineBun = () => {
  if (process.versions.bun !== undefined) return process.execPath
  const starter = process.env.npm_execpath ?? ""
  if (/^bun(\.exe)?$/.test(basename(starter)) && isRecent(versionOf(starter))) return starter
  return isRecent(versionOf("bun")) ? "bun" : undefined
}

const bunByNpm = () => {
  say(`fetching Bun ${bunVersion} with npm (once)`)
  mkdirSync(bootstrapDirectory, { recursive: true })
  const options = [
    "--no-save",
    "--no-package-lock",
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--loglevel=error"
  ]
  const install = ["install", ...options, `--prefix=${bootstrapDirectory}`, `bun@${bunVersion}`]
  const npm = process.env.npm_execpath
  const { status, error } =
    npm !== undefined && /npm-cli\.c?js$/.test(npm)
      ? spawnSync(process.execPath, [npm, ...install], { stdio: ["ignore", 2, 2], cwd: bootstrapDirectory })
      : spawnSync("npm", install, { stdio: ["ignore", 2, 2], cwd: bootstrapDirectory, shell: windows })
  if (status !== 0)
    fail(`npm could not install bun@${bunVersion}${error === undefined ? "" : `: ${error.message}`}`)
  return (
    packagedBun(join(bootstrapDirectory, "node_modules")) ??
    fail(`bun@${bunVersion} has no binary that runs on ${process.platform} ${process.arch}`)
  )
}

/** Installs what bun.lock names and returns the Bun to run with. */
const setUp = () => {
  const installer = packagedBun(modules) ?? machineBun() ?? bunByNpm()
  say("installing packages (once; again when bun.lock changes)")
  const install = ["install", "--frozen-lockfile"]
  const { status } = spawnSync(installer, install, { cwd: root, stdio: ["ignore", 2, 2], windowsHide: true })
  if (status !== 0) fail(`"bun ${install.join(" ")}" failed; Heddle needs Bun ${bunVersion} or newer`)
  const bun = packagedBun(modules) ?? fail(`bun@${bunVersion} is not among the installed packages`)
  writeFileSync(stampFile, JSON.stringify({ fingerprint: fingerprint(), bun }))
  rmSync(bootstrapDirectory, { recursive: true, force: true })
  return bun
}

/** The Bun of a finished set-up; undefined when there is none or package.json or bun.lock changed since. */
const stampedBun = () => {
  try {
    const stamp = JSON.parse(readFileSync(stampFile, "utf8"))
    return stamp.fingerprint === fingerprint() && existsSync(stamp.bun) ? stamp.bun : undefined
  } catch {
    return undefined
  }
}

/** A repeat of a signal within this time is the same Ctrl-C, once from the terminal and once from npm. */
const sameSignalMs = 300

const run = (bun) => {
  const child = spawn(bun, process.argv.slice(2), { cwd: root, stdio: "inherit", detached: !windows })
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    let last = Number.NEGATIVE_INFINITY
    process.on(signal, () => {
      const now = performance.now()
      if (now - last > sameSignalMs && !windows) child.kill(signal)
      last = now
    })
  }
  child.on("error", (error) => fail(`cannot run ${bun}: ${error.message}`))
  child.on("exit", (code, signal) => process.exit(signal === null ? code : 128 + constants.signals[signal]))
}

run(stampedBun() ?? setUp())
