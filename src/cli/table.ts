/** Rows of words in columns, with two spaces between them; what is a number stands on the right. */
export const table = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = head.map((name, column) =>
    Math.max(name.length, ...rows.map((row) => (row[column] ?? "").length))
  )
  const isNumber = head.map((_, column) => rows.every((row) => /^-?\d+$/.test(row[column] ?? "")))
  const line = (cells: ReadonlyArray<string>): string =>
    cells
      .map((cell, column) => {
        const width = widths[column] ?? 0
        return isNumber[column] === true ? cell.padStart(width) : cell.padEnd(width)
      })
      .join("  ")
      .trimEnd()
  return [head, ...rows].map(line).join("\n")
}
