/** The `authentication` section: in which ways clients prove who they are, and what each way needs. */

import * as Schema from "effect/Schema"
import { describe, duration, integer, oneOf, text, wordsOf } from "./Key.ts"

const PasswordFile = Schema.Struct({
  path: describe(
    text("the path of a file"),
    "Users and their passwords, written by `heddle passwd`; read again when it changes",
    "passwords"
  ),
  concurrency: describe(
    integer(1, 64),
    "Passwords verified at a time; each takes a thread and the memory of a hash (19 MB)",
    4
  ),
  waitingMax: describe(
    integer(0, 1_000_000),
    "Clients that wait for that; more are told that the server is busy",
    2000
  )
})

export const Authentication = Schema.Struct({
  methods: describe(
    wordsOf("password-file"),
    "How clients authenticate. Asked in this order; the first that knows a client decides, nobody means no",
    []
  ),
  anonymous: describe(
    oneOf("loopback", "always", "never"),
    "Which clients may connect without: those on this machine (by a loopback address), all, or none. With " +
      "no `methods`, user names and passwords are not looked at",
    "loopback"
  ),
  timeout: describe(
    duration(10, 600_000),
    "What a method may take for its answer; one that takes longer refuses",
    "10s"
  ),
  passwordFile: PasswordFile
})
