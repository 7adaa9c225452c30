/** The cast of a crash test: clients of every kind that the broker keeps something for. */

import {
  type Actor,
  type Habits,
  Publisher,
  type Random,
  Subscriber,
  subscription,
  WillOwner
} from "./Actors.ts"
import { CrashClient, type CrashClientOptions } from "./CrashClient.ts"
import type { Log, Qos } from "./Log.ts"

const PUBLISHERS = 6

interface SubscriberPart extends Habits {
  readonly clientId: string
  readonly topicFilter: string
  readonly qos: Qos
  readonly group?: string
  readonly isPersistent?: boolean
  readonly version?: 4 | 5
  readonly receiveMaximum?: number
}

const members = ["0", "1", "2"].map((index) => ({
  ...({ clientId: `member${index}`, topicFilter: "$share/team/t/#", qos: 2, group: "the team" } as const),
  drops: 4
}))

const subscribers: ReadonlyArray<SubscriberPart> = [
  { clientId: "steady1", topicFilter: "t/#", qos: 1 },
  { clientId: "steady2", topicFilter: "t/#", qos: 2 },
  { clientId: "old1", topicFilter: "t/#", qos: 1, version: 4, drops: 3 },
  { clientId: "old2", topicFilter: "t/#", qos: 2, version: 4, drops: 3 },
  { clientId: "away1", topicFilter: "t/#", qos: 1, drops: 10, returns: 5 },
  { clientId: "away2", topicFilter: "t/#", qos: 2, drops: 10, returns: 5 },
  { clientId: "slow2", topicFilter: "t/publisher0/#", qos: 2, receiveMaximum: 3, ackDelayMs: 10, drops: 2 },
  { clientId: "restless1", topicFilter: "t/#", qos: 1, takesOver: 30 },
  { clientId: "restless2", topicFilter: "t/#", qos: 2, takesOver: 30 },
  { clientId: "clean1", topicFilter: "t/#", qos: 1, isPersistent: false, drops: 5 },
  { clientId: "mourner1", topicFilter: "wills/#", qos: 1, drops: 5 },
  { clientId: "mourner2", topicFilter: "wills/#", qos: 2, drops: 10, returns: 5 },
  ...members
]

const wills = [
  { clientId: "mortal0", qos: 1, delay: 0, isPersistent: true },
  { clientId: "mortal1", qos: 2, delay: 0, isPersistent: true },
  { clientId: "mortal2", qos: 2, delay: 1, isPersistent: true },
  { clientId: "mortal3", qos: 2, delay: 0, isPersistent: false },
  { clientId: "mortal4", qos: 1, delay: 0, isPersistent: false }
] as const

export const cast = (log: Log, random: Random): ReadonlyArray<Actor> => {
  const client = (options: Partial<CrashClientOptions> & { readonly clientId: string }): CrashClient =>
    new CrashClient(
      { version: 5, isPersistent: true, receiveMaximum: 200, subscription: undefined, ...options },
      log
    )
  const publishers = Array.from({ length: PUBLISHERS }, (_, index) => {
    const clientId = `publisher${index}`
    const lanes = [
      { topic: `t/${clientId}/1`, qos: 1 },
      { topic: `t/${clientId}/2`, qos: 2 }
    ] as const
    return new Publisher(client({ clientId, version: index % 3 === 2 ? 4 : 5 }), log, random, lanes, false)
  })
  const retainers = [1, 2].map((qos) => {
    const clientId = `retainer${qos}`
    const lanes = ["a", "b"].map((name) => ({ topic: `retained/${clientId}/${name}`, qos: qos as Qos }))
    return new Publisher(client({ clientId }), log, random, lanes, true)
  })
  const audience = subscribers.map((part) => {
    const { clientId, group, isPersistent = true, qos, topicFilter, ...rest } = part
    const own = subscription(log, { clientId, topicFilter, qos, isPersistent, group })
    const { receiveMaximum = 200, version = 5 } = rest
    const options = { clientId, isPersistent, subscription: own, receiveMaximum, version }
    return new Subscriber(client(options), log, random, rest)
  })
  const mortals = wills.map(
    ({ clientId, delay, isPersistent, qos }) =>
      new WillOwner(client({ clientId, isPersistent }), log, random, { qos, delay })
  )
  return [...audience, ...publishers, ...retainers, ...mortals]
}
