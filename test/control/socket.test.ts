/** The control socket: who may open it, what becomes of an old one, what it answers to nonsense. */

import { afterAll, describe, expect, test } from "bun:test"
import { existsSync, lstatSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { refused } from "../../src/control/AdministrationError.ts"
import {
  bodyOf,
  type ControlRoute,
  LineStream,
  param,
  queryOf,
  routeOf
} from "../../src/control/ControlRoute.ts"
import { serveControl } from "../../src/control/ControlServer.ts"

const directory = mkdtempSync(join(tmpdir(), "heddle-socket-"))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

let sockets = 0
const newPath = (): string => join(directory, `${sockets++}.sock`)

const routes: ReadonlyArray<ControlRoute> = [
  {
    method: "GET",
    path: "/things/:name",
    handle: (request) => Effect.succeed({ name: param(request, "name") })
  },
  { method: "GET", path: "/none", handle: () => Effect.void },
  { method: "GET", path: "/secret/:id", handle: () => refused("not-found", "there is no such thing") },
  { method: "GET", path: "/bug", handle: () => Effect.die(new TypeError("a bug")) },
  {
    method: "GET",
    path: "/thrown",
    handle: () => {
      throw new TypeError("a bug")
    }
  },
  {
    method: "POST",
    path: "/things",
    handle: (request) => bodyOf(request, Schema.Struct({ name: Schema.NonEmptyString, size: Schema.Int }))
  },
  {
    method: "POST",
    path: "/secrets",
    handle: (request) => bodyOf(request, Schema.Struct({ password: Schema.String }))
  },
  {
    method: "GET",
    path: "/things",
    handle: (request) => queryOf(request, Schema.Struct({ a: Schema.String }))
  }
]

const serving = async (path: string, body: () => Promise<void>): Promise<void> => {
  const scope = Effect.runSync(Scope.make())
  try {
    await Effect.runPromise(Scope.extend(serveControl(path, routes), scope))
    await body()
  } finally {
    await Effect.runPromise(Scope.close(scope, Exit.void))
  }
}

const refusalOf = (path: string): Promise<string> =>
  Effect.runPromise(Effect.scoped(Effect.flip(Effect.map(serveControl(path, routes), () => undefined)))).then(
    ({ message }) => message
  )

const ask = async (path: string, place: string, init: RequestInit = {}) => {
  const response = await fetch(`http://heddle${place}`, { unix: path, ...init })
  return { status: response.status, body: (await response.json()) as unknown }
}

describe("the socket", () => {
  test("may be opened by its owner only, and is gone with its broker", async () => {
    const path = newPath()
    const before = process.umask()
    await serving(path, async () => {
      expect(lstatSync(path).mode & 0o777).toBe(0o600)
      expect(process.umask()).toBe(before)
    })
    expect(existsSync(path)).toBe(false)
  })

  test("that a dead broker has left is replaced", async () => {
    const path = newPath()
    // A process that is killed takes no file with it.
    const script = `Bun.listen({ unix: ${JSON.stringify(path)}, socket: { data() {} } }); process.kill(process.pid, 9)`
    await Bun.spawn([process.execPath, "-e", script]).exited
    expect(lstatSync(path).isSocket()).toBe(true)
    await serving(path, async () => expect((await ask(path, "/none")).status).toBe(200))
  })

  test("that somebody listens on is left alone", async () => {
    const path = newPath()
    await serving(path, async () => {
      expect(await refusalOf(path)).toContain("another broker listens there")
      expect((await ask(path, "/none")).status).toBe(200)
    })
  })

  test("takes the place of nothing else", async () => {
    const path = newPath()
    writeFileSync(path, "precious")
    expect(await refusalOf(path)).toContain("something else")
    expect(existsSync(path)).toBe(true)
  })

  test("has a path that fits, in a folder that is there", async () => {
    expect(await refusalOf(join(directory, "x".repeat(120)))).toContain("bytes")
    expect(await refusalOf(join(directory, "no", "such", "folder.sock"))).toContain("folder.sock")
  })
})

describe("an answer", () => {
  const table: ReadonlyArray<
    readonly [name: string, place: string, init: RequestInit, status: number, body: unknown]
  > = [
    ["to a name with all sorts of signs", "/things/a%2Fb%20%F0%9F%98%80", {}, 200, { name: "a/b 😀" }],
    ["without a value", "/none", {}, 200, {}],
    ["to what is hidden", "/secret/7", {}, 404, { error: { code: "not-found" } }],
    ["to what is not there", "/nothing", {}, 404, { error: { code: "not-found" } }],
    ["to another method", "/none", { method: "DELETE" }, 404, { error: { code: "not-found" } }],
    ["to a broken name", "/things/%E0%A4%A", {}, 404, { error: { code: "not-found" } }],
    ["of a route that dies", "/bug", {}, 503, { error: { code: "unavailable" } }],
    ["of a route that throws", "/thrown", {}, 503, { error: { code: "unavailable" } }],
    ["to what is not JSON", "/things", { method: "POST", body: "{" }, 400, { error: { code: "invalid" } }],
    [
      "to a body that is wrong",
      "/things",
      { method: "POST", body: JSON.stringify({ name: "", size: 1.5, more: 1 }) },
      400,
      {
        error: {
          code: "invalid",
          problems: [{ key: "more" }, { key: "name" }, { key: "size" }]
        }
      }
    ],
    [
      "to a secret that is wrong",
      "/secrets",
      { method: "POST", body: JSON.stringify({ password: 12345 }) },
      400,
      { error: { problems: [{ key: "password", message: "is not what it should be" }] } }
    ],
    [
      "to a query that is wrong",
      "/things?b=1",
      {},
      400,
      { error: { problems: [{ key: "b" }, { key: "a" }] } }
    ],
    [
      "to a good body",
      "/things",
      { method: "POST", body: '{"name":"n","size":2}' },
      200,
      { name: "n", size: 2 }
    ]
  ]
  test.each(table)("%s", (_, place, init, status, body) => {
    const path = newPath()
    return serving(path, async () => {
      const answer = await ask(path, place, init)
      expect(answer.status).toBe(status)
      expect(answer.body).toMatchObject(body as object)
      // Whatever it was, the next one is answered.
      expect((await ask(path, "/none")).status).toBe(200)
    })
  })

  test("to a body that is too large is no", () => {
    const path = newPath()
    return serving(path, async () => {
      const response = await fetch("http://heddle/things", {
        unix: path,
        method: "POST",
        body: "x".repeat(2 * 1024 * 1024)
      }).catch(() => undefined)
      expect(response?.ok ?? false).toBe(false)
      expect((await ask(path, "/none")).status).toBe(200)
    })
  })
})

test("a route is found by its method and all parts of its path", () => {
  expect(routeOf(routes, "GET", "/things/x")?.params.get("name")).toBe("x")
  expect(routeOf(routes, "GET", "/things/")).toBeUndefined()
  expect(routeOf(routes, "GET", "/things/x/y")).toBeUndefined()
  expect(routeOf(routes, "POST", "/things/x")).toBeUndefined()
  expect(routeOf(routes, "GET", "/things/__proto__")?.params.get("name")).toBe("__proto__")
})

describe("an answer that goes on", () => {
  /** Lines as long as they are wanted; how often they were asked for, and when nobody reads any more. */
  const endless = (lines: () => Effect.Effect<ReadonlyArray<string>>) => {
    let asked = 0
    const closed = Promise.withResolvers<void>()
    const next = Effect.suspend(() => {
      asked++
      return lines()
    })
    const route: ControlRoute = {
      method: "GET",
      path: "/lines",
      handle: () => Effect.succeed(new LineStream(next, closed.resolve))
    }
    return { route, asked: () => asked, closed: closed.promise }
  }

  const serve = async (route: ControlRoute, body: (path: string) => Promise<void>): Promise<void> => {
    const path = newPath()
    const scope = Effect.runSync(Scope.make())
    try {
      await Effect.runPromise(Scope.extend(serveControl(path, [route]), scope))
      await body(path)
    } finally {
      await Effect.runPromise(Scope.close(scope, Exit.void))
    }
  }

  test("comes line by line, and ends when there are no more", () => {
    const rest = [["1", "2"], ["3"], []]
    const { route } = endless(() => Effect.sync(() => rest.shift() ?? []))
    return serve(route, async (path) => {
      const response = await fetch("http://heddle/lines", { unix: path })
      expect(response.headers.get("content-type")).toBe("application/x-ndjson")
      expect(await response.text()).toBe("1\n2\n3\n")
    })
  })

  test("is not made faster than it is read", () => {
    const { asked, closed, route } = endless(() => Effect.succeed(["x".repeat(1024)]))
    return serve(route, async (path) => {
      const socket = await Bun.connect({
        unix: path,
        socket: {
          data: (each) => void each.pause(),
          open: (each) => void each.write("GET /lines HTTP/1.1\r\nHost: h\r\n\r\n")
        }
      })
      while (asked() === 0) await new Promise<void>((resolve) => setImmediate(resolve))
      let before = 0
      // What the sockets hold between the two is some hundred kilobytes.
      while (asked() !== before) {
        before = asked()
        for (let turn = 0; turn < 200; turn++) await new Promise<void>((resolve) => setImmediate(resolve))
      }
      expect(asked()).toBeLessThan(10_000)
      socket.terminate()
      await closed
    })
  })

  test("is given up when its reader goes, and when the socket is closed", async () => {
    const quiet = endless(() => Effect.never)
    await serve(quiet.route, async (path) => {
      const ending = new AbortController()
      const response = fetch("http://heddle/lines", { unix: path, signal: ending.signal })
      while (quiet.asked() === 0) await new Promise<void>((resolve) => setImmediate(resolve))
      ending.abort()
      await expect(response).rejects.toThrow()
      await quiet.closed
    })
    const other = endless(() => Effect.never)
    let response: Promise<Response> | undefined
    await serve(other.route, async (path) => {
      response = fetch("http://heddle/lines", { unix: path })
      response.catch(() => {})
      while (other.asked() === 0) await new Promise<void>((resolve) => setImmediate(resolve))
    })
    await expect(response).rejects.toThrow()
    await other.closed
  })
})
