/** Hooks of the node's administrator: definitions read from hooks_dir for each container, so that a new one counts at once. */
import { Effect, Result } from "effect"
import { posix } from "node:path"
import { Files } from "../../linux/Files.ts"
import { isGone } from "../../linux/LinuxError.ts"
import { type HookDefinition, type HookSubject, parseHookDefinition } from "../hooks/hookFile.ts"
import { SpecHostError } from "../OciError.ts"
import type { SpecEdits } from "../spec/edits.ts"
import { invalid, orFail } from "../spec/fault.ts"

/** Bytes. */
const largestDefinition = 1024 * 1024
const field = "hooks_dir"

/** By file name: of two directories the later one's counts. */
const pathsOf = Effect.fnUntraced(function* (containerId: string, directories: ReadonlyArray<string>) {
  const files = yield* Files
  const byName = new Map<string, string>()
  for (const directory of directories) {
    const names = yield* files.readDirectory(directory).pipe(
      Effect.catchIf(isGone, () => Effect.succeed([])),
      Effect.mapError((cause) => new SpecHostError({ containerId, field, path: directory, cause }))
    )
    for (const name of names) if (name.endsWith(".json")) byName.set(name, posix.join(directory, name))
  }
  // In the order of their names, wherever they lie (oci-hooks(5)).
  return Array.from(byName.entries())
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([, path]) => path)
})

/**
 * A container that needed the hook must not run without it: a definition that cannot be read or understood is an error
 * of every container until somebody mends or removes it.
 */
export const resolveHooks = Effect.fnUntraced(function* (
  containerId: string,
  directories: ReadonlyArray<string>,
  subject: HookSubject
) {
  const files = yield* Files
  const found: Array<HookDefinition> = []
  for (const path of yield* pathsOf(containerId, directories)) {
    const content = yield* files
      .readText(path, { maxBytes: largestDefinition })
      .pipe(Effect.mapError((cause) => new SpecHostError({ containerId, field, path, cause })))
    const parsed = parseHookDefinition(content)
    if (Result.isFailure(parsed)) {
      return yield* orFail(containerId, invalid(field, `${path} is not a hook definition 1.0.0: ${parsed.failure}`))
    }
    found.push(parsed.success)
  }
  return found
    .filter(({ matches }) => matches(subject))
    .flatMap(({ hook, stages }): SpecEdits["hooks"] => stages.map((stage) => [stage, hook]))
})
