/**
 * Topic aliases towards one client: which topics the client knows by number, and which to give up for a new
 * one.
 *
 * While numbers are free every topic gets one. Then the clock algorithm chooses: a topic used since the hand
 * last passed is spared, so a client that gets many messages on few topics keeps those, and a stream of ever
 * new topics costs one look a message. (5.0, section 3.3.2.3.4)
 */

export interface AliasUse {
  readonly alias: number
  /**
   * The client does not know the alias yet (or knows it as another topic): the packet carries topic and
   * alias.
   */
  readonly isNew: boolean
}

export class AliasTable {
  private readonly byTopic = new Map<string, number>()
  private readonly topics: Array<string> = []
  private readonly used: Array<boolean> = []
  private hand = 0

  constructor(private readonly maximum: number) {}

  use(topic: string): AliasUse {
    const known = this.byTopic.get(topic)
    if (known !== undefined) {
      this.used[known - 1] = true
      return { alias: known, isNew: false }
    }
    const alias = this.topics.length < this.maximum ? this.topics.length + 1 : this.evict()
    this.topics[alias - 1] = topic
    this.used[alias - 1] = false
    this.byTopic.set(topic, alias)
    return { alias, isNew: true }
  }

  /** The packet that would have taught the client the alias was not sent. */
  forget(topic: string): void {
    this.byTopic.delete(topic)
  }

  private evict(): number {
    for (;;) {
      const index = this.hand
      this.hand = (this.hand + 1) % this.maximum
      if (this.used[index] === true) {
        this.used[index] = false
        continue
      }
      const topic = this.topics[index]
      if (topic !== undefined) this.byTopic.delete(topic)
      return index + 1
    }
  }
}
