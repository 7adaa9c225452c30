/** Writing Variable Byte Integers (5.0, section 1.5.5), always in the fewest bytes. [MQTT-1.5.5-1] */

/** Bytes of the encoding of `value`. */
export const varintBytes = (value: number): number =>
  value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x200000 ? 3 : 4

/** Writes `value` at `at` and returns the position after it. */
export const putVarint = (value: number, target: Uint8Array, at: number): number => {
  let rest = value
  let position = at
  while (rest > 0x7f) {
    target[position++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  target[position++] = rest
  return position
}
