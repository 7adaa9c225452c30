/**
 * The values of one attribute of a distinguished name as text (RFC 4514), in their order. Undoes the escapes,
 * so that a comma or an equals sign in a value makes no attribute of its own.
 */
export const subjectValues = (subject: string, attribute: string): ReadonlyArray<string> => {
  const wanted = attribute.toLowerCase()
  return attributesOf(subject).flatMap((text) => {
    const equals = text.indexOf("=")
    return equals > 0 && text.slice(0, equals).trim().toLowerCase() === wanted
      ? [unescaped(text.slice(equals + 1))]
      : []
  })
}

/** Split at the commas and plus signs that are not escaped. */
const attributesOf = (subject: string): ReadonlyArray<string> => {
  const parts: Array<string> = []
  let start = 0
  for (let at = 0; at < subject.length; at++) {
    const character = subject[at]
    if (character === "\\") at++
    else if (character === "," || character === "+") {
      parts.push(subject.slice(start, at))
      start = at + 1
    }
  }
  parts.push(subject.slice(start))
  return parts
}

const unescaped = (value: string): string =>
  value.replace(/(?:\\[0-9a-fA-F]{2})+|\\(.)/gsu, (escape, character: string | undefined) =>
    character === undefined ? Buffer.from(escape.replaceAll("\\", ""), "hex").toString() : character
  )
