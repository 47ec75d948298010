/** Open-file-description locks of the simulated kernel. */
export interface Lock {
  readonly key: object
  readonly mode: "read" | "write"
  readonly owner: object
}

export class LockTable {
  private readonly held = new Set<Lock>()

  /** Undefined when somebody else's lock is in the way. */
  tryLock(key: object, mode: "read" | "write", owner: object): Lock | undefined {
    for (const lock of this.held) {
      if (lock.key === key && (mode === "write" || lock.mode === "write")) return undefined
    }
    const lock = { key, mode, owner }
    this.held.add(lock)
    return lock
  }

  release(lock: Lock): void {
    this.held.delete(lock)
  }

  releaseAll(owner: object): void {
    for (const lock of this.held) if (lock.owner === owner) this.held.delete(lock)
  }

  clear(): void {
    this.held.clear()
  }

  get size(): number {
    return this.held.size
  }
}
