/** What a contract suite needs of the world it runs in: a layer, a directory of its own, programs known by what they do. */
import { it } from "@effect/vitest"
import { Effect, type Layer, type Scope } from "effect"
import { Files } from "../../../src/linux/Files.ts"

export interface Environment<S> {
  /** Built afresh for each test. */
  readonly layer: Layer.Layer<S | Files>
  /** An absolute path; each test makes a directory of its own below it (parents included). */
  readonly root: string
}

export interface Program {
  readonly path: string
  readonly args: ReadonlyArray<string>
}

/** Programs by their behaviour; the simulated process table registers its own. */
export interface Programs {
  /** Ends at once with this code. */
  readonly exit: (code: number) => Program
  /** Copies stdin to stdout until the end of stdin. */
  readonly cat: Program
  /** Does nothing for this many seconds. */
  readonly sleep: (seconds: number) => Program
  /** Writes one text to stdout and one to stderr. */
  readonly print: (stdout: string, stderr: string) => Program
  /** Writes its environment to stdout, "NAME=value" lines. */
  readonly environment: Program
  /** Writes its working directory and a newline to stdout. */
  readonly workingDirectory: Program
  /** Copies a line of its terminal, then writes the terminal's size as `stty size` does. */
  readonly terminalSize: Program
  /** A path where there is no program. */
  readonly missing: string
}

let count = 0

/** Defines tests that run with the environment's layer, each in a new empty directory. */
export const testsIn =
  <S>(environment: Environment<S>) =>
  (name: string, body: (directory: string) => Effect.Effect<void, unknown, S | Files | Scope.Scope>) =>
    it.live(name, () =>
      Effect.gen(function* () {
        const files = yield* Files
        const directory = `${environment.root}/${count++}`
        yield* files.makeDirectory(directory, { recursive: true })
        yield* body(directory)
      }).pipe(Effect.scoped, Effect.provide(environment.layer))
    )

/** Writes a whole file, for the tests' own preparations. */
export const put = (path: string, text: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      const files = yield* Files
      const file = yield* files.open(path, "truncate")
      yield* file.write(Buffer.from(text))
    })
  )

/** The error code that an effect fails with; a success is shown as it is. */
export const codeOf = <A, E extends { readonly code: string }, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.match(effect, { onFailure: (error) => error.code, onSuccess: (value) => value })
