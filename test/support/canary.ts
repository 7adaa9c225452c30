/**
 * Words that must not come out of a broker, and the search for them in whatever form they have: text,
 * hexadecimal digits, Base64, and bytes written as numbers, as JSON has them of an array of bytes.
 */

const WORD = "canary"

/** A secret; all of them are found by the same search. */
export const canary = (name: string): string => `${WORD}-${name}-${WORD}`

/** As it stands in Base64, by where in three bytes it begins, but for what its neighbours change. */
const base64Forms = [0, 1, 2].map((offset) => {
  const encoded = Buffer.from(`${"x".repeat(offset)}${WORD}`).toString("base64")
  return encoded.slice(offset === 0 ? 0 : offset + 1, 8).replace(/=+$/, "")
})

const numbers = [...Buffer.from(WORD)].join(String.raw`(?:\D|"\d{1,3}":){1,12}`)

const hex = [...Buffer.from(WORD)].map((byte) => byte.toString(16)).join("\\s?")

const found = new RegExp([WORD, hex, ...base64Forms, numbers].join("|"), "i")

/** What surrounds the first secret in a text; undefined where there is none. */
export const secretIn = (text: string): string | undefined => {
  const match = found.exec(text)
  return match === null ? undefined : text.slice(Math.max(0, match.index - 200), match.index + 100)
}
