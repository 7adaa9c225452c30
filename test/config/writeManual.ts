/** Writes the generated parts of the README anew: `bun test/config/writeManual.ts`. */

import { join } from "node:path"
import { withGeneratedParts } from "../../src/config/ConfigText.ts"

const readme = join(import.meta.dir, "../../README.md")

await Bun.write(readme, withGeneratedParts(await Bun.file(readme).text()))
