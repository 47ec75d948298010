/** That our locks and the fcntl locks of other programs exclude each other. */
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Option, Stream } from "effect"
import { statSync } from "node:fs"
import { Locks } from "../../src/linux/Locks.ts"
import { Processes } from "../../src/linux/Processes.ts"
import { scratchRoot } from "./real.ts"

const root = scratchRoot()

// Takes a plain POSIX lock (F_SETLK, as containers/storage does), says so, and holds it while stdin is open.
const otherProgram = (path: string) => `
  const koffi = require("koffi")
  const fcntl = koffi.load(null).func("int fcntl(int, int, void*)")
  const lock = Buffer.alloc(32)
  lock.writeInt16LE(1, 0)
  const fd = require("node:fs").openSync(${JSON.stringify(path)}, "r+")
  process.stdout.write(fcntl(fd, 6, lock) === 0 ? "held\\n" : "refused\\n")
  process.stdin.resume()
`

it.live("a lock of another program keeps us out, and ours keeps it out", () =>
  Effect.gen(function* () {
    const locks = yield* Locks
    const processes = yield* Processes
    const path = `${root}/lock`
    const free = Effect.scoped(Effect.map(locks.tryAcquire(path, "write"), Option.isSome))
    const other = Effect.fnUntraced(function* () {
      const child = yield* processes.spawn({
        path: process.execPath,
        args: ["-e", otherProgram(path)],
        env: {},
        cwd: process.cwd(),
        fds: ["input", "output", "null"]
      })
      const answer = yield* child.output(1).pipe(Stream.decodeText(), Stream.runHead)
      return { child, answer: Option.getOrElse(answer, () => "") }
    })
    assert.isTrue(yield* free)
    yield* Effect.scoped(
      Effect.gen(function* () {
        assert.strictEqual((yield* other()).answer, "held\n")
        assert.isFalse(yield* free)
      })
    )
    assert.isTrue(yield* free)
    yield* locks.acquire(path, "write")
    assert.strictEqual((yield* other()).answer, "refused\n")
  }).pipe(Effect.scoped, Effect.provide(Layer.mergeAll(Locks.layer, Processes.layer)))
)

it.live("others can open a lock file that we made, whatever the umask", () =>
  Effect.gen(function* () {
    const locks = yield* Locks
    const before = process.umask(0o077)
    try {
      yield* locks.acquire(`${root}/masked`, "write")
    } finally {
      process.umask(before)
    }
    assert.strictEqual(statSync(`${root}/masked`).mode & 0o777, 0o644)
  }).pipe(Effect.scoped, Effect.provide(Locks.layer))
)
