/**
 * The thread of a database, as seen by the one that runs the broker: requests go out in order, and replies
 * come back in the same order. When the thread ends unexpectedly, everything under way fails as `isLost`,
 * and `open` starts another.
 */

import type {
  DoneReply,
  FailureReply,
  PageReply,
  PurgedReply,
  QueuesReply,
  Reply,
  Request,
  RowsReply
} from "./requests.ts"

/** The thread has ended with requests under way: whether they were served is not known. */
export interface LostReply extends FailureReply {
  readonly isLost: true
}

interface Replies {
  readonly Queues: QueuesReply
  readonly Sessions: PageReply
  readonly Retained: PageReply
  readonly Statements: RowsReply
  readonly Purge: PurgedReply
}

/** What a request is answered with. */
export type ReplyTo<R extends Request> =
  | (R["_tag"] extends keyof Replies ? Replies[R["_tag"]] : DoneReply)
  | FailureReply
  | LostReply

export interface SqliteThreadOptions {
  readonly file: string
  /** How large the database may become. */
  readonly bytesMax: number
}

export class SqliteThread {
  private worker: Worker | undefined
  private under: Array<(reply: Reply | LostReply) => void> = []

  constructor(private options: SqliteThreadOptions) {}

  /** Starts the thread, anew if it has ended, and opens the database. */
  open(reply: (reply: DoneReply | FailureReply | LostReply) => void): void {
    if (this.worker === undefined) this.start()
    this.request({ _tag: "Open", ...this.options }, reply)
  }

  request<R extends Request>(request: R, reply: (reply: ReplyTo<R>) => void): void {
    const { worker } = this
    if (worker === undefined) return reply(lost)
    // Replies come in the order of the requests, so each is of the kind that its request has.
    this.under.push(reply as (reply: Reply | LostReply) => void)
    if (request._tag === "Limit") this.options = { ...this.options, bytesMax: request.bytesMax }
    if (request._tag === "Apply") worker.postMessage(request, [request.frame.buffer])
    else worker.postMessage(request)
  }

  /** Ends the thread wherever it stands. */
  kill(): void {
    this.worker?.terminate()
    this.end()
  }

  private start(): void {
    const worker = new Worker(new URL("./worker.ts", import.meta.url).href)
    this.worker = worker
    worker.onmessage = (event: MessageEvent<Reply>) => {
      if (this.worker === worker) this.under.shift()?.(event.data)
    }
    const ended = () => {
      if (this.worker === worker) this.end()
    }
    worker.addEventListener("error", (event) => {
      event.preventDefault()
      worker.terminate()
      ended()
    })
    worker.addEventListener("close", ended)
  }

  private end(): void {
    this.worker = undefined
    const { under } = this
    this.under = []
    for (const reply of under) reply(lost)
  }
}

const lost: LostReply = {
  _tag: "Failed",
  reason: "the thread of the database has ended",
  isFull: false,
  isLost: true
}

export const isLost = (reply: FailureReply | LostReply): boolean => "isLost" in reply
