/** The versions before 5.0, for the tests of what holds in both. */

import type { Version } from "../../support/raw.ts"

export const olderVersions: ReadonlyArray<readonly [name: string, version: Version]> = [
  ["3.1.1", 4],
  ["3.1", 3]
]
