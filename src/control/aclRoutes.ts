/** Access rules that are not in force, over the control socket: what they would take from whom. */

import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { Acl } from "../auth/Acl.ts"
import { type Problem, parseAcl, type Section } from "../auth/acl/AclText.ts"
import { RuleBook } from "../auth/acl/RuleBook.ts"
import { both } from "../auth/both.ts"
import type { Administration } from "../tenant/administration.ts"
import type { DryRun } from "../tenant/dryRun.ts"
import { type AdministrationError, refused } from "./AdministrationError.ts"
import { bodyOf, type ControlRoute } from "./ControlRoute.ts"

const Comparison = Schema.Struct({
  tenant: Schema.NonEmptyString,
  /** In the order of their rules. */
  files: Schema.Array(Schema.Struct({ name: Schema.String, text: Schema.String }))
})

/** Losses that are told; `lost` counts them all. */
const TOLD_MAX = 10_000

export const aclRoutes = ({ dryRun }: Administration): ReadonlyArray<ControlRoute> => [
  {
    method: "POST",
    path: "/acl/diff",
    handle: (request) =>
      Effect.gen(function* () {
        const { files, tenant } = yield* bodyOf(request, Comparison)
        const book = yield* bookOf(files)
        const found = yield* dryRun(tenant, (identity) => {
          const written = book.permissionsOf(identity)
          const { rules } = identity
          return Effect.succeed(rules === undefined ? written : both(written, new Acl(rules)))
        })
        return found === undefined
          ? yield* refused("not-found", `no client of tenant ${tenant} has come yet`)
          : answerOf(found)
      })
  }
]

const answerOf = ({ losses, ...counts }: DryRun) => ({
  ...counts,
  lost: losses.length,
  losses: losses.slice(0, TOLD_MAX)
})

const bookOf = (
  files: ReadonlyArray<{ readonly name: string; readonly text: string }>
): Effect.Effect<RuleBook, AdministrationError> => {
  const sections: Array<Section> = []
  const problems: Array<Problem> = []
  for (const { name, text } of files) {
    const read = parseAcl(name, text)
    if (Either.isRight(read)) sections.push(...read.right)
    else problems.push(...read.left)
  }
  if (problems.length === 0) return Effect.succeed(new RuleBook(sections))
  const told = problems.map(({ file, line, problem }) => ({ key: `${file}:${line}`, message: problem }))
  return refused("invalid", "these are no access rules", told)
}
