import { describe, expect, test } from "bun:test"
import * as fc from "effect/FastCheck"
import { Mailbox, type MailboxLimits } from "../../src/actor/Mailbox.ts"

const limits = (countMax: number, bytesMax: number): MailboxLimits<number> => ({
  countMax,
  bytesMax,
  bytesOf: (bytes) => bytes
})

describe("Mailbox", () => {
  const cases: ReadonlyArray<{
    readonly name: string
    readonly limits: MailboxLimits<number>
    readonly offers: ReadonlyArray<number>
    readonly accepted: ReadonlyArray<boolean>
  }> = [
    { name: "is bounded by count", limits: limits(2, 100), offers: [1, 1, 1], accepted: [true, true, false] },
    { name: "is bounded by bytes", limits: limits(9, 10), offers: [6, 5, 4], accepted: [true, false, true] },
    {
      name: "takes exactly bytesMax",
      limits: limits(9, 10),
      offers: [5, 5, 0],
      accepted: [true, true, true]
    },
    { name: "lets one message always fit", limits: limits(9, 10), offers: [99, 0], accepted: [true, false] },
    { name: "lets one fit with limits of 0", limits: limits(0, 0), offers: [1, 1], accepted: [true, false] }
  ]
  for (const { name, limits, offers, accepted } of cases) {
    test(name, () => {
      const mailbox = new Mailbox(limits)
      expect(offers.map((bytes) => mailbox.offer(bytes))).toEqual([...accepted])
      const kept = offers.filter((_, i) => accepted[i])
      expect(mailbox.length).toBe(kept.length)
      expect(mailbox.bytes).toBe(kept.reduce((sum, bytes) => sum + bytes, 0))
    })
  }

  test("admits beyond both limits, and what was admitted counts against offers", () => {
    const mailbox = new Mailbox(limits(2, 10))
    for (const bytes of [8, 8, 8]) mailbox.admit(bytes)
    expect(mailbox.length).toBe(3)
    expect(mailbox.bytes).toBe(24)
    expect(mailbox.offer(1)).toBe(false)
    mailbox.take()
    mailbox.take()
    expect(mailbox.offer(3)).toBe(false)
    expect(mailbox.offer(2)).toBe(true)
  })

  test("has room again after a refusal once something was taken", () => {
    const mailbox = new Mailbox(limits(1, 10))
    mailbox.offer(10)
    expect(mailbox.offer(1)).toBe(false)
    expect(mailbox.take()).toBe(10)
    expect(mailbox.offer(1)).toBe(true)
  })

  test("clear leaves it as new", () => {
    const mailbox = new Mailbox(limits(2, 10))
    mailbox.admit(50)
    mailbox.clear()
    expect([mailbox.length, mailbox.bytes, mailbox.take()]).toEqual([0, 0, undefined])
    expect(mailbox.offer(10)).toBe(true)
  })

  test("whatever is offered, admitted and taken: in order, within the limits, bytes are the sum", () => {
    const step = fc.oneof(
      fc.record({ _tag: fc.constantFrom("offer", "admit"), bytes: fc.integer({ min: 0, max: 12 }) }),
      fc.record({ _tag: fc.constant("take"), bytes: fc.constant(0) })
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const mailbox = new Mailbox(limits(4, 20))
        const model: Array<number> = []
        const sum = () => model.reduce((total, bytes) => total + bytes, 0)
        for (const { _tag, bytes } of steps) {
          if (_tag === "take") {
            expect(mailbox.take()).toBe(model.shift())
          } else if (_tag === "admit") {
            mailbox.admit(bytes)
            model.push(bytes)
          } else {
            const fits = model.length === 0 || (model.length < 4 && sum() + bytes <= 20)
            expect(mailbox.offer(bytes)).toBe(fits)
            if (fits) model.push(bytes)
          }
          expect([mailbox.length, mailbox.bytes]).toEqual([model.length, sum()])
        }
      }),
      { seed: 2, numRuns: 200 }
    )
  })
})
