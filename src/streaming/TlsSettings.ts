/** TLS of the streaming server: what is configured, and the certificates that its files hold at the moment. */
import { Effect, Schedule, Stream } from "effect"
import { dirname } from "node:path"
import { Files } from "../linux/Files.ts"
import { StreamingServerError } from "./StreamingError.ts"

export interface TlsSettings {
  readonly minVersion: "TLSv1.2" | "TLSv1.3"
  /** OpenSSL's list; empty leaves the choice to the library. */
  readonly ciphers: string
  readonly certificate: string
  readonly key: string
  /** Empty: clients need no certificate. */
  readonly clientCa: string
}

/** PEM texts. */
export interface TlsFiles {
  readonly certificate: string
  readonly key: string
  readonly clientCa: string | undefined
}

/** A change that no watch reports, behind a symbolic link say, is found at the next look. */
const lookEvery = "1 minute"

/** Files are replaced one after another; a look between two of them finds a pair that does not match. */
const settleFor = "200 millis"

const read = Effect.fnUntraced(function* (key: string, path: string) {
  const files = yield* Files
  return yield* files
    .readText(path)
    .pipe(
      Effect.mapError(
        (cause) => new StreamingServerError({ action: `use crio.api.${key} ${path}`, reason: cause.message, cause })
      )
    )
})

export const readTlsFiles = Effect.fn("TlsSettings.readTlsFiles")(function* (settings: TlsSettings) {
  return {
    certificate: yield* read("stream_tls_cert", settings.certificate),
    key: yield* read("stream_tls_key", settings.key),
    clientCa: settings.clientCa === "" ? undefined : yield* read("stream_tls_ca", settings.clientCa)
  } satisfies TlsFiles
})

const same = (one: TlsFiles, other: TlsFiles): boolean =>
  one.certificate === other.certificate && one.key === other.key && one.clientCa === other.clientCa

/**
 * What the files hold each time that it differs from what `use` took last. A set that `use` refuses is looked at again
 * when its files change once more; until then the one before stays in use.
 */
export const followTlsFiles = Effect.fn("TlsSettings.followTlsFiles")(function* (
  settings: TlsSettings,
  first: TlsFiles,
  use: (files: TlsFiles) => Effect.Effect<void, StreamingServerError>
) {
  const files = yield* Files
  const paths = [settings.certificate, settings.key, settings.clientCa].filter((path) => path !== "")
  let seen = first

  const look = Effect.gen(function* () {
    const now = yield* readTlsFiles(settings)
    if (same(now, seen)) return
    seen = now
    yield* use(now)
    yield* Effect.logInfo("the streaming server uses the new certificates")
  }).pipe(Effect.catch(({ message }) => Effect.logWarning(`${message}; the certificates before it stay in use`)))

  // A directory that is taken away and made anew is watched again at the next look.
  const watchOf = (directory: string) => files.watch(directory).pipe(Stream.ignore)
  const changes = Stream.mergeAll(Array.from(new Set(paths.map((path) => dirname(path))), watchOf), {
    concurrency: "unbounded"
  })
  yield* Effect.all(
    [
      changes.pipe(
        Stream.debounce(settleFor),
        Stream.runForEach(() => look),
        Effect.repeat(Schedule.spaced(lookEvery))
      ),
      Effect.repeat(look, Schedule.spaced(lookEvery))
    ],
    { concurrency: "unbounded", discard: true }
  )
})
