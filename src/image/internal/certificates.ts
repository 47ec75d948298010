/** Certificates of a registry from certs.d (containers-certs.d(5)): *.crt are trusted, X.cert with X.key are shown. */
import { Effect } from "effect"
import { Files } from "../../linux/Files.ts"
import { isGone } from "../../linux/LinuxError.ts"
import { PullSettings } from "../PullSettings.ts"
import { CertificatesUnusable } from "../RegistryError.ts"

const none = { ca: [], clientCertificates: [] }

/** `host` is as the reference writes it, with the port only where the reference has one. */
export const certificatesFor = Effect.fnUntraced(function* (host: string) {
  const files = yield* Files
  const { certsDirs } = yield* PullSettings

  for (const parent of certsDirs) {
    const directory = `${parent}/${host}`
    const unusable = (path: string) => (cause: { readonly code: string }) =>
      new CertificatesUnusable({ host, path, reason: `cannot be read: ${cause.code}`, cause })
    const names = yield* files.readDirectory(directory).pipe(
      Effect.catchIf(isGone, () => Effect.void),
      Effect.mapError(unusable(directory))
    )
    if (names === undefined) continue
    const read = (name: string) =>
      Effect.mapError(
        files.readText(`${directory}/${name}`, { maxBytes: 1024 * 1024 }),
        unusable(`${directory}/${name}`)
      )
    const paired = (name: string, other: string) =>
      names.includes(other)
        ? Effect.void
        : Effect.fail(new CertificatesUnusable({ host, path: `${directory}/${name}`, reason: `${other} is missing` }))

    const withEnding = (ending: string) => names.filter((name) => name.endsWith(ending))
    yield* Effect.forEach(withEnding(".key"), (name) => paired(name, name.replace(/key$/, "cert")))
    const clientCertificates = yield* Effect.forEach(
      withEnding(".cert"),
      Effect.fnUntraced(function* (name) {
        const key = name.replace(/cert$/, "key")
        yield* paired(name, key)
        return { certificate: yield* read(name), key: yield* read(key) }
      })
    )
    return { ca: yield* Effect.forEach(withEnding(".crt"), read), clientCertificates }
  }
  return none
})
