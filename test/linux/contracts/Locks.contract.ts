/** What every layer of Locks does alike. */
import { assert, describe } from "@effect/vitest"
import { Effect, Exit, Fiber, Option, Scope } from "effect"
import { Files } from "../../../src/linux/Files.ts"
import { type LockMode, Locks } from "../../../src/linux/Locks.ts"
import { codeOf, type Environment, put, testsIn } from "./environment.ts"

export const locksContract = (name: string, environment: Environment<Locks | Files>): void => {
  const test = testsIn(environment)
  const isFree = Effect.fnUntraced(function* (path: string, mode: LockMode) {
    return Option.isSome(yield* (yield* Locks).tryAcquire(path, mode))
  }, Effect.scoped)

  describe(`Locks, ${name}`, () => {
    test("a writer excludes all, also in the same process, until its scope closes", (dir) =>
      Effect.gen(function* () {
        const locks = yield* Locks
        const scope = yield* Scope.make()
        yield* Scope.provide(locks.acquire(`${dir}/lock`, "write"), scope)
        assert.isFalse(yield* isFree(`${dir}/lock`, "write"))
        assert.isFalse(yield* isFree(`${dir}/lock`, "read"))
        assert.isTrue(yield* isFree(`${dir}/other`, "write"))
        yield* Scope.close(scope, Exit.void)
        assert.isTrue(yield* isFree(`${dir}/lock`, "write"))
      }))
    test("readers share and exclude writers", (dir) =>
      Effect.gen(function* () {
        const locks = yield* Locks
        yield* locks.acquire(`${dir}/lock`, "read")
        yield* locks.acquire(`${dir}/lock`, "read")
        assert.isTrue(yield* isFree(`${dir}/lock`, "read"))
        assert.isFalse(yield* isFree(`${dir}/lock`, "write"))
      }))
    test("waits until the holder lets go", (dir) =>
      Effect.gen(function* () {
        const locks = yield* Locks
        const scope = yield* Scope.make()
        yield* Scope.provide(locks.acquire(`${dir}/lock`, "write"), scope)
        const waiting = yield* Effect.forkChild(Effect.scoped(locks.acquire(`${dir}/lock`, "write")), {
          startImmediately: true
        })
        yield* Effect.sleep("60 millis")
        assert.isUndefined(waiting.pollUnsafe())
        yield* Scope.close(scope, Exit.void)
        yield* Fiber.join(waiting).pipe(Effect.timeout("5 seconds"))
      }))
    test("a waiter that is interrupted holds nothing", (dir) =>
      Effect.gen(function* () {
        const locks = yield* Locks
        const scope = yield* Scope.make()
        yield* Scope.provide(locks.acquire(`${dir}/lock`, "write"), scope)
        const waited = yield* Effect.scoped(locks.acquire(`${dir}/lock`, "write")).pipe(
          Effect.timeoutOption("60 millis")
        )
        assert.isTrue(Option.isNone(waited))
        yield* Scope.close(scope, Exit.void)
        assert.isTrue(yield* isFree(`${dir}/lock`, "write"))
      }))
    test("many at once: one at a time", (dir) =>
      Effect.gen(function* () {
        const locks = yield* Locks
        let inside = 0
        let most = 0
        yield* Effect.forEach(
          Array.from({ length: 5 }),
          () =>
            Effect.scoped(
              Effect.gen(function* () {
                yield* locks.acquire(`${dir}/lock`, "write")
                most = Math.max(most, ++inside)
                yield* Effect.sleep("5 millis")
                inside -= 1
              })
            ),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual([most, inside], [1, 0])
      }))
    test("makes the file 0644 and keeps what is in it", (dir) =>
      Effect.gen(function* () {
        const files = yield* Files
        yield* Effect.scoped((yield* Locks).acquire(`${dir}/lock`, "write"))
        const stat = yield* files.stat(`${dir}/lock`)
        assert.deepStrictEqual([stat.kind, stat.mode, stat.size], ["file", 0o644, 0])
        yield* put(`${dir}/lock`, "kept")
        yield* Effect.scoped((yield* Locks).acquire(`${dir}/lock`, "read"))
        assert.strictEqual(yield* files.readText(`${dir}/lock`), "kept")
      }))
    test("the stamp is what the last writer wrote; readers cannot write it", (dir) =>
      Effect.gen(function* () {
        const locks = yield* Locks
        yield* Effect.scoped(
          Effect.gen(function* () {
            const held = yield* locks.acquire(`${dir}/lock`, "write")
            assert.strictEqual((yield* held.readStamp(64)).length, 0)
            yield* held.writeStamp(Buffer.alloc(64, "s"))
          })
        )
        const held = yield* locks.acquire(`${dir}/lock`, "read")
        assert.strictEqual(Buffer.from(yield* held.readStamp(4)).toString(), "ssss")
        assert.strictEqual((yield* held.readStamp(100)).length, 64)
        assert.strictEqual(yield* codeOf(held.writeStamp(Buffer.from("x"))), "EBADF")
      }))
    test("a missing directory is told", (dir) =>
      Effect.gen(function* () {
        const locks = yield* Locks
        assert.strictEqual(yield* codeOf(locks.acquire(`${dir}/none/lock`, "write")), "ENOENT")
        assert.strictEqual(yield* codeOf(locks.tryAcquire(`${dir}/none/lock`, "write")), "ENOENT")
      }))
  })
}
