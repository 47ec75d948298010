/** Certificates in the form of node:tls. */
import { Effect } from "effect"
import { createSecureContext, type SecureContextOptions, type Server } from "node:tls"
import { messageOf } from "../../linux/messageOf.ts"
import { StreamingServerError } from "../StreamingError.ts"
import type { TlsFiles, TlsSettings } from "../TlsSettings.ts"

const contextOf = (
  { minVersion, ciphers, certificate, clientCa }: TlsSettings,
  files: TlsFiles
): Effect.Effect<SecureContextOptions, StreamingServerError> =>
  Effect.try({
    try: () => {
      const options: SecureContextOptions = {
        minVersion,
        ...(ciphers === "" ? {} : { ciphers }),
        cert: files.certificate,
        key: files.key,
        ...(files.clientCa === undefined ? {} : { ca: files.clientCa })
      }
      createSecureContext(options)
      return options
    },
    catch: (cause) =>
      new StreamingServerError({
        action: `use the certificate ${certificate} with its key${clientCa === "" ? "" : ` and the CA ${clientCa}`}`,
        reason: messageOf(cause),
        cause
      })
  })

/** Options of a server whose certificates are good. */
export const serverOptions = (settings: TlsSettings, files: TlsFiles, handshakeTimeout: number) =>
  Effect.map(contextOf(settings, files), (context) => ({
    ...context,
    handshakeTimeout,
    requestCert: files.clientCa !== undefined,
    rejectUnauthorized: files.clientCa !== undefined
  }))

/** For connections from now on; fails, and changes nothing, if the certificates are no good. */
export const replaceCertificates = (server: Pick<Server, "setSecureContext">, settings: TlsSettings, files: TlsFiles) =>
  Effect.map(contextOf(settings, files), (context) => server.setSecureContext(context))
