/** A shorter trace that goes wrong as well: steps are left out, many at first, as long as it does. */

export const shrink = async <T>(
  trace: ReadonlyArray<T>,
  isWrong: (trace: ReadonlyArray<T>) => Promise<boolean>
): Promise<ReadonlyArray<T>> => {
  let shortest = trace
  for (let size = Math.ceil(trace.length / 2); size >= 1; ) {
    let isShorter = false
    for (let at = 0; at < shortest.length; ) {
      const candidate = [...shortest.slice(0, at), ...shortest.slice(at + size)]
      if (candidate.length < shortest.length && (await isWrong(candidate))) {
        shortest = candidate
        isShorter = true
      } else {
        at += size
      }
    }
    if (size > 1) size = Math.ceil(size / 2)
    else if (!isShorter) break
  }
  return shortest
}
