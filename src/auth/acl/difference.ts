/** Whose rules are others in one list of sections than in another. */

import type { PermissionsChanged } from "../Authorizer.ts"
import type { Section } from "./AclText.ts"

/** The tenants whose clients must be judged again; everybody, if what is for all tenants has changed. */
export const tenantsThatDiffer = (
  before: ReadonlyArray<Section>,
  now: ReadonlyArray<Section>
): ReadonlyArray<PermissionsChanged> => {
  const [then, since] = [textsOf(before), textsOf(now)]
  if (then.general !== since.general) return [{}]
  const tenants = new Set([...then.byTenant.keys(), ...since.byTenant.keys()])
  return [...tenants].flatMap((tenant) =>
    then.byTenant.get(tenant) === since.byTenant.get(tenant) ? [] : [{ tenant }]
  )
}

interface Texts {
  /** What is for all tenants. */
  readonly general: string
  /** What is for each tenant that is named beside it, and between which of the others it stands. */
  readonly byTenant: ReadonlyMap<string, string>
}

const textsOf = (sections: ReadonlyArray<Section>): Texts => {
  const general: Array<string> = []
  const byTenant = new Map<string, string>()
  for (const section of sections) {
    const text = textOf(section)
    const tenants = section.who.get("tenant")
    if (tenants === undefined) general.push(text)
    for (const tenant of tenants ?? []) {
      byTenant.set(tenant, `${byTenant.get(tenant) ?? ""}\n${general.length} ${text}`)
    }
  }
  return { general: general.join("\n"), byTenant }
}

/** But for the tenants that it is for. */
const textOf = ({ rules, who }: Section): string =>
  JSON.stringify([
    [...who].flatMap(([attribute, values]) => (attribute === "tenant" ? [] : [[attribute, [...values]]])),
    rules.map(({ source }) => source.text)
  ])
