import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { ContainerRecord } from "../../src/pod/ContainerRecord.ts"
import { checkRunning } from "../../src/pod/exec.ts"
import { Pods } from "../../src/pod/Pods.ts"
import { containerId, containerRecord, Host, podRecord } from "./support/host.ts"

const process = { pid: 300, startTime: 7 }
const stopping = (startedAtNs: bigint) => ({ _tag: "Stopping", ...process, startedAtNs, deadlineMs: 1 }) as const

const outcome = (state: ContainerRecord["state"]) =>
  Effect.gen(function* () {
    yield* (yield* Pods).adopt([podRecord()], [containerRecord({ state })])
    return yield* checkRunning(containerId).pipe(
      Effect.map(({ id }) => id),
      Effect.catch(({ message }) => Effect.succeed(message))
    )
  }).pipe(Effect.provide(new Host().layer))

describe("a command in a container", () => {
  it.effect("can start while it runs, and while it is being stopped", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* outcome({ _tag: "Running", ...process, startedAtNs: 1n }), containerId)
      assert.strictEqual(yield* outcome(stopping(1n)), containerId)
    })
  )

  it.effect("cannot when its start was refused, though the process may run until it is stopped", () =>
    Effect.gen(function* () {
      assert.match(yield* outcome({ _tag: "Created", ...process }), /it is Created$/)
      assert.match(yield* outcome(stopping(0n)), /it is stopped before it was started$/)
    })
  )
})
