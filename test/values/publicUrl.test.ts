import { describe, expect, test } from "bun:test"
import { hasUser, publicUrl, redactedUrl, withPublicUrls } from "../../src/values/publicUrl.ts"

describe("a URL is shown without user and query", () => {
  const table: ReadonlyArray<readonly [url: string, shown: string]> = [
    ["https://example.com/a/b?token=canary#canary", "https://example.com/a/b"],
    ["http://user:canary@example.com:8080/", "http://example.com:8080/"],
    ["canary", "a URL that cannot be read"]
  ]
  test.each(table)("%s", (url, shown) => {
    expect(publicUrl(url)).toBe(shown)
  })

  test("also where somebody else has quoted it", () => {
    expect(withPublicUrls('fetching "https://u:canary@example.com/a?canary". See (http://b/?canary)')).toBe(
      'fetching "https://example.com/a". See (http://b/)'
    )
  })
})

test("a user is found in front of the host only", () => {
  for (const url of ["https://u@h/", "https://u:p@h", "http://a:80@h/"]) expect(hasUser(url)).toBe(true)
  for (const url of ["https://h/@", "https://h?u@x", "https://h/a#@", "u@h"]) expect(hasUser(url)).toBe(false)
  expect(redactedUrl("https://u:canary@h/a?canary=canary#b")).toBe("https://<redacted>@h/a?<redacted>#b")
  for (const text of ["https://h/a", "is this @ URL?"]) expect(redactedUrl(text)).toBe(text)
})
