/** inotify on one directory, as a stream of names. */
import { Cause, Effect, Queue, Stream } from "effect"
import { lstat, watch } from "node:fs"
import { posix } from "node:path"
import type { LinuxError } from "../LinuxError.ts"
import { attemptSync, linuxError } from "./attempt.ts"

// Older names fall out when nobody pulls: the contract is that users scan as well.
const remembered = 4096

export const watchDirectory = (directory: string): Stream.Stream<string, LinuxError> =>
  Stream.callback<string, LinuxError>(
    (queue) =>
      Effect.acquireRelease(
        attemptSync("watch", directory, () => {
          const watcher = watch(directory)
          watcher.on("error", (error) =>
            Queue.failCauseUnsafe(queue, Cause.fail(linuxError("watch", directory, error)))
          )
          watcher.on("change", (_, changed) => {
            const name = String(changed)
            // The directory's own removal or renaming is reported under its own name.
            if (name !== posix.basename(directory)) Queue.offerUnsafe(queue, name)
            else
              lstat(directory, (error) => {
                if (error) Queue.endUnsafe(queue)
                else Queue.offerUnsafe(queue, name)
              })
          })
          return watcher
        }),
        (watcher) => Effect.sync(() => watcher.close())
      ),
    { bufferSize: remembered, strategy: "sliding" }
  )
