/**
 * HTTP to services that the broker depends on: bounded in time and in bytes, and without redirects, which
 * could lead to where the configuration does not.
 */

import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { publicUrl, withPublicUrls } from "../values/publicUrl.ts"

/**
 * There was no answer that could be used. Handled by who has asked: of a method of authentication the client
 * hears 0x88, a webhook tries again.
 */
export class HttpFailed extends Data.TaggedError("HttpFailed")<{
  readonly url: string
  readonly problem: string
}> {
  override get message(): string {
    return `${this.url}: ${this.problem}`
  }
}

export interface BoundedRequest {
  readonly url: string
  readonly init?: Omit<BunFetchRequestInit, "signal" | "redirect">
  readonly timeoutMs: number
  /** Of the answer's body; 0 does not read it. */
  readonly bytesMax: number
}

export interface BoundedResponse {
  readonly status: number
  readonly text: string
}

export const boundedFetch = ({
  bytesMax,
  init,
  timeoutMs,
  url
}: BoundedRequest): Effect.Effect<BoundedResponse, HttpFailed> =>
  Effect.tryPromise({
    try: async (signal) => {
      const response = await fetch(url, { ...init, signal, redirect: "error" })
      if (bytesMax === 0) await response.body?.cancel()
      return { status: response.status, text: bytesMax === 0 ? "" : await readAtMost(response, bytesMax) }
    },
    catch: (cause) =>
      new HttpFailed({
        url: publicUrl(url),
        problem: cause instanceof Error ? withPublicUrls(cause.message) : "failed"
      })
  }).pipe(
    Effect.timeoutFail({
      duration: Duration.millis(timeoutMs),
      onTimeout: () => new HttpFailed({ url: publicUrl(url), problem: "no answer in time" })
    })
  )

class BodyTooLarge extends Data.TaggedError("BodyTooLarge")<{ readonly bytesMax: number }> {
  override get message(): string {
    return `the answer has more than ${this.bytesMax} bytes`
  }
}

const readAtMost = async (response: Response, bytesMax: number): Promise<string> => {
  const parts: Array<Uint8Array> = []
  let size = 0
  for await (const part of response.body ?? []) {
    size += part.length
    if (size > bytesMax) throw new BodyTooLarge({ bytesMax })
    parts.push(part)
  }
  return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(parts))
}
