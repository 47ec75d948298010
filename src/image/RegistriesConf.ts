/** registries.conf with its drop-ins: read anew for every pull, so that a change needs no reload. */
import { Context, Effect, Layer, Ref, Result, Schema } from "effect"
import { Files } from "../linux/Files.ts"
import { isGone, LinuxError } from "../linux/LinuxError.ts"
import { candidates, pullSources, type PullSource } from "./internal/pullSources.ts"
import {
  emptyRegistries,
  mergeRegistries,
  parseRegistriesFile,
  type RegistriesFile
} from "./internal/registriesFile.ts"
import { PullSettings } from "./PullSettings.ts"
import { formatReference, InvalidReference, nameOf, type Reference } from "./Reference.ts"

export type { PullSource } from "./internal/pullSources.ts"

/** A file of the registries configuration cannot be used; nothing is pulled until it is right. */
export class RegistriesConfError extends Schema.TaggedError<RegistriesConfError>()("RegistriesConfError", {
  path: Schema.String,
  reason: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message(): string {
    return `registries configuration ${this.path}: ${this.reason}`
  }
}

export class RegistryBlocked extends Schema.TaggedError<RegistryBlocked>()("RegistryBlocked", {
  reference: Schema.String,
  path: Schema.String
}) {
  override get message(): string {
    return `registry of ${this.reference} is blocked in ${this.path} or one of its drop-ins`
  }
}

export class ShortNameAmbiguous extends Schema.TaggedError<ShortNameAmbiguous>()("ShortNameAmbiguous", {
  name: Schema.String,
  candidates: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `short name mode is enforcing, but image name ${this.name} returns ambiguous list: ${this.candidates.join(", ")}; write the full name or add an alias to registries.conf`
  }
}

export class RegistriesConf extends Context.Service<
  RegistriesConf,
  {
    /** What a text can mean, most likely first, by the configuration last read. No I/O. */
    readonly candidates: (text: string) => Effect.Effect<ReadonlyArray<Reference>, InvalidReference>
    /** The references that a pull of this text tries in turn: more than one only for short names in mode "disabled". */
    readonly resolve: (
      text: string
    ) => Effect.Effect<ReadonlyArray<Reference>, InvalidReference | ShortNameAmbiguous | RegistriesConfError>
    /** The registries to ask for a reference, mirrors first. Never empty. */
    readonly sources: (
      reference: Reference
    ) => Effect.Effect<ReadonlyArray<PullSource>, InvalidReference | RegistryBlocked | RegistriesConfError>
  }
>()("cricket/image/RegistriesConf") {
  static readonly layer = Layer.effect(
    RegistriesConf,
    Effect.gen(function* () {
      const files = yield* Files
      const settings = yield* PullSettings
      const latest = yield* Ref.make<RegistriesFile>(emptyRegistries)

      const unreadable = (path: string) => (cause: LinuxError) =>
        new RegistriesConfError({ path, reason: `cannot be read: ${cause.code}`, cause })

      const readFile = Effect.fnUntraced(function* (path: string) {
        const text = yield* files.readText(path, { maxBytes: 4 * 1024 * 1024 }).pipe(
          Effect.catchIf(isGone, () => Effect.succeed("")),
          Effect.mapError(unreadable(path))
        )
        const parsed = parseRegistriesFile(text)
        return Result.isSuccess(parsed)
          ? parsed.success
          : yield* new RegistriesConfError({ path, reason: parsed.failure })
      })

      const dropIns = Effect.fnUntraced(function* (directory: string) {
        const names = yield* files.readDirectory(directory).pipe(
          Effect.catchIf(isGone, () => Effect.succeed([])),
          Effect.mapError(unreadable(directory))
        )
        return names.filter((name) => name.endsWith(".conf")).map((name) => `${directory}/${name}`)
      })

      const load = Effect.gen(function* () {
        const paths = [settings.registriesConf, ...(yield* Effect.forEach(settings.registriesConfDirs, dropIns)).flat()]
        const parts = yield* Effect.forEach(paths, readFile)
        const file = parts.reduce(mergeRegistries)
        yield* Ref.set(latest, file)
        return file
      })

      const service = RegistriesConf.of({
        candidates: Effect.fnUntraced(function* (text) {
          return yield* Effect.fromResult(candidates(yield* Ref.get(latest), text))
        }),
        resolve: Effect.fn("RegistriesConf.resolve")(function* (text) {
          const found = yield* Effect.fromResult(candidates(yield* load, text))
          if (found.length > 1 && settings.shortNameMode === "enforcing") {
            return yield* new ShortNameAmbiguous({ name: text, candidates: found.map(formatReference) })
          }
          return found
        }),
        sources: Effect.fn("RegistriesConf.sources")(function* (reference) {
          const found = yield* Effect.fromResult(pullSources(yield* load, reference))
          return found.length > 0
            ? found
            : yield* new RegistryBlocked({ reference: nameOf(reference), path: settings.registriesConf })
        })
      })

      // A broken file must not keep the daemon from serving the images it has; every pull names the problem.
      yield* load.pipe(Effect.catch((error) => Effect.logWarning(error.message)))
      return service
    })
  )
}
