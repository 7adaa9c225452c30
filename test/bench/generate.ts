/** Runs a load generator: a program of its own, so that it can have a processor of its own. */

export interface GeneratorOptions {
  /** The program's file. */
  readonly program: string
  /** Its one argument. */
  readonly request: object
  /** Stands before the command line. */
  readonly pin: ReadonlyArray<string>
  /** One that takes longer has lost its broker. */
  readonly timeoutMs: number
}

/** What it prints, which is JSON. Rejects with the reason of one that fails. */
export const generate = async ({ pin, program, request, timeoutMs }: GeneratorOptions): Promise<unknown> => {
  const command = [...pin, process.execPath, program, JSON.stringify(request)]
  const child = Bun.spawn(command, { stdio: ["ignore", "pipe", "pipe"], timeout: timeoutMs })
  const [output, errors, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited
  ])
  if (child.signalCode !== null) throw new Error("it did not end in time")
  if (code !== 0) throw new Error(reasonIn(errors) ?? `the load generator ended with ${code}`)
  return JSON.parse(output)
}

/** The message of the exception in what a process that died of it printed. */
const reasonIn = (errors: string): string | undefined => /^error: (.+)$/m.exec(errors)?.[1]
