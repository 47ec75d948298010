/** Real files in a directory of their own, and a process table in which conmon does what a test says. */
import { Deferred, Effect, Layer, Stream } from "effect"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { posix } from "node:path"
import type { LaunchRequest } from "../../src/conmon/MonitoredContainer.ts"
import { Conmon } from "../../src/conmon/Conmon.ts"
import { Files } from "../../src/linux/Files.ts"
import { LinuxError } from "../../src/linux/LinuxError.ts"
import { Processes, type SpawnRequest } from "../../src/linux/Processes.ts"
import { Sockets } from "../../src/linux/Sockets.ts"

export interface Script {
  /** What conmon writes to its sync pipe; undefined for a conmon that stays silent. */
  readonly sync: string | undefined
  readonly stderr?: string
  readonly exitCode?: number
  /** The reader of the start pipe is gone. */
  readonly startPipeBroken?: boolean
}

export interface FakeWorld {
  readonly root: string
  readonly request: LaunchRequest
  readonly spawned: Array<SpawnRequest>
  /** What happened to the child, in order. */
  readonly events: Array<string>
  script: Script
  readonly layer: Layer.Layer<Conmon>
}

const pid = 1_999_999

export const makeWorld = Effect.acquireRelease(
  Effect.sync((): FakeWorld => {
    const root = mkdtempSync(posix.join(tmpdir(), "conmon-unit-"))
    const bundle = `${root}/bundle`
    mkdirSync(bundle)
    const spawned: Array<SpawnRequest> = []
    const events: Array<string> = []
    const note = (event: string) => Effect.sync(() => void events.push(event))
    const text = (said: string) => Stream.make(new TextEncoder().encode(said))

    const spawn = Effect.fnUntraced(function* (request: SpawnRequest) {
      const { script } = world
      spawned.push(request)
      const exit = yield* Deferred.make<{ code: number; signal: null }>()
      yield* Effect.addFinalizer(() => note("pipes closed"))
      writeFileSync(`${bundle}/conmon-pidfile`, String(pid))
      return {
        identity: { pid, startTime: 1 },
        exit: Deferred.await(exit),
        output: (fd: number) => {
          if (fd !== 3) return fd === 2 ? text(script.stderr ?? "") : Stream.empty
          if (script.sync === undefined) return Stream.never
          Deferred.doneUnsafe(exit, Effect.succeed({ code: script.exitCode ?? 0, signal: null }))
          // In pieces, as a pipe may give it.
          return Stream.concat(text(script.sync.slice(0, 5)), text(script.sync.slice(5)))
        },
        collect: () => ({ bytes: () => new Uint8Array(0), ended: Effect.void }),
        content: () => Effect.succeed(new Uint8Array(0)),
        write: (fd: number) =>
          script.startPipeBroken === true
            ? Effect.fail(LinuxError.make({ operation: "write", subject: "pipe", code: "EPIPE" }))
            : note(`write ${fd}`),
        close: (fd: number) => note(`close ${fd}`)
      }
    })

    const world: FakeWorld = {
      root,
      spawned,
      events,
      script: { sync: '{"pid": 4711}\n' },
      request: {
        containerId: "c0ffee",
        containerName: "k8s_c_web",
        bundle,
        runtimePath: "/usr/bin/crun",
        runtimeRoot: "/run/crun",
        logPath: `${root}/logs/c/0.log`,
        exitDirectory: `${root}/exits`,
        persistDirectory: `${root}/persist`,
        socketDirectory: `${root}/sockets`,
        terminal: false,
        stdin: false,
        leaveStdinOpen: false,
        conmonPath: "/usr/bin/conmon",
        conmonEnv: { PATH: "/usr/bin" },
        createLimitMs: 240_000,
        logLevel: "info"
      },
      layer: Conmon.layer.pipe(
        Layer.provide(
          Layer.mergeAll(
            Files.layer,
            Sockets.layer,
            Layer.mock(Processes, {
              spawn,
              signal: (_, signal) => Effect.as(note(`signal ${signal}`), true),
              find: () => Effect.succeedNone,
              list: Effect.succeed([])
            })
          )
        )
      )
    }
    return world
  }),
  ({ root }) => Effect.sync(() => rmSync(root, { recursive: true }))
)
