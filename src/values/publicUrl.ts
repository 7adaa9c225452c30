/** URLs as they may be shown: the user part and the query are where people put passwords and tokens. */

export const publicUrl = (url: string): string => {
  const parsed = URL.parse(url)
  return parsed === null
    ? "a URL that cannot be read"
    : `${parsed.protocol}//${parsed.host}${parsed.pathname}`
}

/** A text in which somebody else may have quoted URLs. */
export const withPublicUrls = (text: string): string =>
  text.replace(/\bhttps?:\/\/[^\s"'<>)]+/g, (url) => publicUrl(url))

const user = /^([a-z]+:\/\/)[^/?#]*@/i

/** Whether a URL names a user, and with that perhaps a password. */
export const hasUser = (url: string): boolean => user.test(url)

/** A text as it is, unless it is a URL with such parts: those are not shown. */
export const redactedUrl = (text: string): string =>
  /^[a-z]+:\/\//i.test(text) ? text.replace(user, "$1<redacted>@").replace(/\?[^#]+/, "?<redacted>") : text
