/**
 * The subscribers of one filter that has more than one: values in an array, so that a match appends them at
 * the speed of a copy (a `Map` iterates five times slower), keys beside them, and an index by key once a scan
 * would be slow.
 */

export class Subscribers<K extends object, V> {
  readonly #keys: Array<K> = []
  readonly #values: Array<V> = []
  #index: Map<K, number> | undefined

  get size(): number {
    return this.#keys.length
  }

  get(key: K): V | undefined {
    const at = this.#indexOf(key)
    return at === -1 ? undefined : this.#values[at]
  }

  set(key: K, value: V): V | undefined {
    const at = this.#indexOf(key)
    if (at !== -1) {
      const previous = this.#values[at]
      this.#values[at] = value
      return previous
    }
    this.#index?.set(key, this.#keys.length)
    this.#keys.push(key)
    this.#values.push(value)
    if (this.#index === undefined && this.#keys.length > scanMax) {
      this.#index = new Map(this.#keys.map((each, index) => [each, index]))
    }
    return undefined
  }

  /** Removes a subscriber; the last one takes its place. */
  delete(key: K): V | undefined {
    const at = this.#indexOf(key)
    if (at === -1) return undefined
    const value = this.#values[at]
    const lastKey = this.#keys.pop() as K
    const lastValue = this.#values.pop() as V
    this.#index?.delete(key)
    if (lastKey !== key) {
      this.#keys[at] = lastKey
      this.#values[at] = lastValue
      this.#index?.set(lastKey, at)
    }
    if (this.#keys.length <= scanMax >> 1) this.#index = undefined
    return value
  }

  /** The subscriber that is left, when there is only one. */
  only(): { readonly key: K; readonly value: V } | undefined {
    const key = this.#keys[0]
    return this.#keys.length === 1 && key !== undefined ? { key, value: this.#values[0] as V } : undefined
  }

  appendTo(into: Array<V>): void {
    for (const value of this.#values) into.push(value)
  }

  #indexOf(key: K): number {
    return this.#index === undefined ? this.#keys.indexOf(key) : (this.#index.get(key) ?? -1)
  }
}

const scanMax = 16
