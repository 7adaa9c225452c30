/**
 * Statements over many rows at once. A row costs one step of SQLite, a statement costs an effect and a call
 * into native code beside it, so rows go 64, 8 or 1 to a statement: three texts, which stay prepared.
 */

import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { Database, Row, Value } from "./Database.ts"

const sizes = [64, 8, 1]

/** A statement for any number of rows. */
export class RowStatement {
  private readonly texts: ReadonlyMap<number, string>

  /** `width`: parameters of a row. The rows stand between `before` and `after` as (?, ...), ... */
  constructor(
    readonly width: number,
    before: string,
    after = ""
  ) {
    const row = `(${Array(width).fill("?").join(",")})`
    this.texts = new Map(
      sizes.map((size) => [size, `${before} ${Array(size).fill(row).join(",")}${after}`] as const)
    )
  }

  text(rows: number): string {
    return this.texts.get(rows)!
  }
}

/** Runs a statement for the rows whose parameters are given one after another. */
export const runRows = (
  database: Database,
  statement: RowStatement,
  parameters: ReadonlyArray<Value>
): Effect.Effect<void, SqlError> =>
  parameters.length === 0
    ? Effect.void
    : Effect.forEach(pieces(statement, parameters), ([text, values]) => database.run(text, values), {
        discard: true
      })

/** The same, for a statement that answers. */
export const rowsOf = (
  database: Database,
  statement: RowStatement,
  parameters: ReadonlyArray<Value>
): Effect.Effect<ReadonlyArray<Row>, SqlError> =>
  parameters.length === 0
    ? Effect.succeed([])
    : Effect.map(
        Effect.forEach(pieces(statement, parameters), ([text, values]) => database.rows(text, values)),
        (answers) => answers.flat()
      )

function* pieces(
  statement: RowStatement,
  parameters: ReadonlyArray<Value>
): Iterable<readonly [text: string, values: ReadonlyArray<Value>]> {
  const { width } = statement
  let at = 0
  for (const size of sizes) {
    for (; parameters.length - at >= size * width; at += size * width) {
      yield [statement.text(size), parameters.slice(at, at + size * width)]
    }
  }
}
