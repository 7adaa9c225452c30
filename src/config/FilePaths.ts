/**
 * Paths in a configuration file are meant from where the file is, whatever folder the broker was started in.
 */

import { dirname, resolve } from "node:path"

/**
 * The content of a configuration file with the paths of its listeners, its storage, its authentication, its
 * authorization and its socket made absolute. What has no such shape stays.
 */
export const withAbsolutePaths = (file: string, content: unknown): unknown => {
  const folder = dirname(resolve(file))
  const absolute = (value: unknown): unknown =>
    typeof value === "string" && value !== "" ? resolve(folder, value) : value
  const certificate = (value: unknown): unknown => mapKeys(value, ["cert", "key", "ca"], absolute)
  const tls = (value: unknown): unknown =>
    mapKeys(certificate(value), ["sni"], (sni) => (Array.isArray(sni) ? sni.map(certificate) : sni))
  const listener = (name: string, value: unknown): unknown => {
    const secured = mapKeys(value, ["tls"], tls)
    const transport = isRecord(value) ? (value.transport ?? name) : name
    return transport === "unix" ? mapKeys(secured, ["path"], absolute) : secured
  }
  const stored = mapKeys(content, ["storage"], (storage) => mapKeys(storage, ["path"], absolute))
  const authenticated = mapKeys(stored, ["authentication"], (authentication) =>
    mapKeys(authentication, ["passwordFile", "jwt"], (section) =>
      mapKeys(section, ["path", "file"], absolute)
    )
  )
  const controlled = mapKeys(authenticated, ["control"], (control) =>
    mapKeys(control, ["path"], (path) => (path === "off" ? path : absolute(path)))
  )
  const authorized = mapKeys(controlled, ["authorization"], (authorization) =>
    mapKeys(authorization, ["files", "directory"], (paths) =>
      Array.isArray(paths) ? paths.map(absolute) : absolute(paths)
    )
  )
  return mapKeys(authorized, ["listeners"], (listeners) =>
    isRecord(listeners)
      ? Object.fromEntries(Object.entries(listeners).map(([name, value]) => [name, listener(name, value)]))
      : listeners
  )
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const mapKeys = (
  value: unknown,
  keys: ReadonlyArray<string>,
  change: (value: unknown) => unknown
): unknown =>
  isRecord(value)
    ? Object.fromEntries(
        Object.entries(value).map(([key, own]) => [key, keys.includes(key) ? change(own) : own])
      )
    : value
