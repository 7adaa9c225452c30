/**
 * Spares a service that fails, and those who would wait for it: after some failures in a row it is not called
 * for a while, then once to see whether it works again. Pure: instants are passed in.
 */

export interface CircuitBreakerOptions {
  readonly failuresMax: number
  /** How long it is not called after that, and after each failed trial. */
  readonly restMs: number
}

export class CircuitBreaker {
  private failures = 0
  private restsUntilMs = 0
  private isTrying = false

  constructor(private readonly options: CircuitBreakerOptions) {}

  /** Whether a call may be made now. After true comes either `succeeded` or `failed`, or `abandoned`. */
  admits(nowMs: number): boolean {
    if (this.failures < this.options.failuresMax) return true
    // Half open: one call at a time is let through.
    if (this.isTrying || nowMs < this.restsUntilMs) return false
    this.isTrying = true
    return true
  }

  succeeded(): void {
    this.failures = 0
    this.isTrying = false
  }

  failed(nowMs: number): void {
    this.failures++
    this.isTrying = false
    this.restsUntilMs = nowMs + this.options.restMs
  }

  /** The call was given up without an outcome. */
  abandoned(): void {
    this.isTrying = false
  }
}
