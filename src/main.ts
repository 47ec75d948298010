/** The program: a command line becomes a command; the daemon is one of them. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Cause, Effect, Exit, type Runtime, Schema } from "effect"
import { isMainThread, workerData } from "node:worker_threads"
import { parseArguments, type Command } from "./cli/arguments.ts"
import { runConfigCommand, runVersionCommand } from "./cli/commands.ts"
import { helpText } from "./cli/help.ts"
import { loadSettings } from "./config/load.ts"
import { loggingLayer } from "./cri/logging.ts"
import { daemon } from "./daemon.ts"
import { Files } from "./linux/Files.ts"
import { openLogFile } from "./linux/logFile.ts"
import { messageOf } from "./linux/messageOf.ts"
import { returnMemory } from "./linux/restingMemory.ts"
import { readStandardInput, writeStandardError, writeStandardOutput } from "./linux/standardStreams.ts"
import { runUnpackWorker } from "./linux/unpack/worker.ts"

/** After the first signal; containers go on, what the daemon was doing is undone or found by the next start. */
const shutdownLimitMs = 5_000

/** The command line was not understood. */
class UsageError extends Schema.TaggedError<UsageError>()("UsageError", { problems: Schema.Array(Schema.String) }) {
  override get message(): string {
    return this.problems.join("\n")
  }
}

const printingFailure = <A, E extends { readonly message: string }, R>(self: Effect.Effect<A, E, R>) =>
  Effect.tapError(self, ({ message }) => writeStandardError(`cricket: ${message}\n`))

/** What keeps the log from being written has to be said elsewhere. */
const logTo = (path: string) =>
  openLogFile(path).pipe(
    Effect.tapError(({ message }) => writeStandardError(`cricket: --log ${path} cannot be opened: ${message}\n`))
  )

const serve = Effect.fnUntraced(function* (command: Extract<Command, { readonly _tag: "Serve" }>) {
  const { settings, warnings } = yield* printingFailure(loadSettings(command.sources, readStandardInput))
  const program = Effect.gen(function* () {
    yield* Effect.forEach(warnings, (warning) => Effect.logWarning(warning), { discard: true })
    if (command.withoutEffect.length > 0) {
      yield* Effect.logWarning(`flags without effect: ${command.withoutEffect.join(", ")}`)
    }
    yield* Effect.forkScoped(returnMemory)
    return yield* daemon(settings, {
      environment: process.env,
      architecture: process.arch,
      registriesConf: command.registriesConf,
      registriesConfDirectory: command.registriesConfDirectory
    })
  })
  const { log_level: level, log_filter: filter } = settings.runtime
  const write = command.logFile === undefined ? undefined : yield* logTo(command.logFile)
  return yield* program.pipe(
    // Not tapCause: an interrupted fiber passes it by.
    Effect.onExit((exit) => {
      if (Exit.isSuccess(exit)) return Effect.void
      return Cause.hasInterruptsOnly(exit.cause)
        ? Effect.logInfo("stopped; containers run on")
        : Cause.hasDies(exit.cause)
          ? Effect.logFatal("cannot go on", exit.cause)
          : Effect.logFatal(`cannot go on: ${messageOf(Cause.squash(exit.cause))}`)
    }),
    Effect.provide(loggingLayer({ level, format: command.logFormat, filter, write }))
  )
}, Effect.scoped)

/** Why it fails has been printed or logged when it does. */
const run = Effect.fnUntraced(function* (command: Exclude<Command, { readonly _tag: "Harness" }>) {
  switch (command._tag) {
    case "Serve":
      return yield* serve(command)
    case "Config":
      return yield* printingFailure(
        runConfigCommand({
          sources: command.sources,
          defaults: command.defaults,
          standardInput: readStandardInput,
          write: writeStandardOutput,
          writeError: writeStandardError
        })
      )
    case "Version":
      return yield* runVersionCommand({ json: command.json, write: writeStandardOutput })
    case "Help":
      return yield* writeStandardOutput(helpText(command.topic))
    case "Invalid":
      return yield* printingFailure(new UsageError({ problems: command.problems }))
  }
})

const teardown: Runtime.Teardown = (exit, done) =>
  done(Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause) ? 0 : 1)

const reloadNotBuilt = "cricket: SIGHUP changes nothing yet; restart the daemon to apply its settings\n"

/** A program of its own, with a bundle of its own: the daemon does not carry it. */
const harness = (args: ReadonlyArray<string>) => {
  const abort = new AbortController()
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => abort.abort())
  void import("./harness/main.ts")
    .then(({ runHarness }) => runHarness({ arguments: args, environment: process.env, signal: abort.signal }))
    .then(
      (code) => process.exit(code),
      (error: unknown) => {
        if (abort.signal.aborted) process.exit(130)
        process.stderr.write(`cricket: harness: ${messageOf(error)}\n`)
        process.exit(2)
      }
    )
}

const main = () => {
  const command = parseArguments(process.argv.slice(2), process.env)
  if (command._tag === "Harness") return harness(command.arguments)
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    // The last word: a finalizer that hangs must not keep the process.
    process.once(signal, () => setTimeout(() => process.exit(0), shutdownLimitMs).unref())
  }
  // systemctl reload sends it to CRI-O; without a listener it would end the daemon.
  if (command._tag === "Serve") process.on("SIGHUP", () => Effect.runFork(writeStandardError(reloadNotBuilt)))
  NodeRuntime.runMain(run(command).pipe(Effect.provide(Files.layer)), { teardown, disableErrorReporting: true })
}

if (isMainThread) main()
else if ((workerData as { readonly role?: string } | null)?.role === "unpack") runUnpackWorker()
