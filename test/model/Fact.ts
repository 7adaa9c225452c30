/**
 * Something that the broker knows, of which a crash may leave an earlier value: all values since the last one
 * that is surely durable may survive.
 */
export class Fact<T> {
  private survive: Set<T>
  private present: Set<T>

  constructor(value: T) {
    this.survive = new Set([value])
    this.present = new Set([value])
  }

  /** Undefined after a crash that left more than one possibility. */
  get known(): { readonly value: T } | undefined {
    const [value] = this.present
    return this.present.size === 1 ? { value: value as T } : undefined
  }

  /** What it may be at present. */
  get candidates(): ReadonlyArray<T> {
    return [...this.present]
  }

  /** What a crash may leave. */
  get survivors(): ReadonlyArray<T> {
    return [...this.survive]
  }

  set(value: T): void {
    this.change(() => value)
  }

  /** It changes, whatever it is. */
  change(step: (value: T) => T): void {
    this.present = new Set([...this.present].map(step))
    for (const value of this.present) this.survive.add(value)
  }

  /** It may have become that, or not. */
  allow(value: T): void {
    this.present.add(value)
    this.survive.add(value)
  }

  /** Values of that kind do not survive. */
  ruleOut(isImpossible: (value: T) => boolean): void {
    this.survive = new Set([...this.survive].filter((value) => !isImpossible(value)))
  }

  /** What it is now is durable. */
  sure(): void {
    this.survive = new Set(this.present)
  }

  crash(): void {
    this.present = new Set(this.survive)
  }
}
