/** What is said of users, for people. */

import type { AclRule } from "../auth/Acl.ts"
import type { UserDetails } from "../control/UserAdmin.ts"
import { table } from "./table.ts"

export const usersText = (users: ReadonlyArray<UserDetails>): string =>
  users.length === 0
    ? "no users yet"
    : table(
        ["user", "tenant", "password", "rules", "state"],
        users.map(({ isDisabled, kept, rules, tenant, username }) => [
          ...[printable(username), tenant, kept, rules === undefined ? "" : String(rules.length)],
          isDisabled ? "disabled" : ""
        ])
      )

export const userText = (user: UserDetails): string => {
  const { changedAtMs, createdAtMs, isDisabled, kept, rules, tenant, username } = user
  return [
    `${printable(username)} of tenant ${tenant}${isDisabled ? ", disabled" : ""}`,
    `  password  ${kept}`,
    `  added     ${dateOf(createdAtMs)}`,
    `  changed   ${dateOf(changedAtMs)}`,
    rules === undefined ? "  rules     none of its own" : "  rules",
    ...(rules ?? []).map((rule) => `    ${ruleText(rule)}`)
  ].join("\n")
}

const dateOf = (ms: number): string => new Date(ms).toISOString().slice(0, 19).replace("T", " ")

/** As it would be given to `--rule`. */
const ruleText = ({ action, permission, qos, retain, shared, topicFilter }: AclRule): string => {
  const conditions = [
    ...(qos === undefined ? [] : [`qos=${qos.join(",")}`]),
    ...(retain === undefined ? [] : [`retain=${yesOrNo(retain)}`]),
    ...(shared === undefined ? [] : [`shared=${typeof shared === "string" ? shared : yesOrNo(shared)}`])
  ]
  return [permission, action, printable(topicFilter), ...conditions].join(" ")
}

const yesOrNo = (value: boolean): string => (value ? "yes" : "no")

/** What a terminal would obey is escaped. */
const printable = (name: string): string =>
  name.replaceAll(/[\p{C}]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`)
