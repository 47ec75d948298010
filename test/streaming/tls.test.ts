/** TLS of the streaming server: versions, suites, client certificates, and certificates that change while it runs. */
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { connect, type PeerCertificate } from "node:tls"
import { openSslCiphers } from "../../src/model/CipherSuites.ts"
import type { TlsSettings } from "../../src/streaming/TlsSettings.ts"
import { type Authority, type Certificate, makeAuthority } from "./certificates.ts"
import { type ClientTls, SpdyClient, until } from "./clients.ts"
import { execRequest, makeProcess, serveProcess, startServer } from "./support.ts"

let authority: Authority
let other: Authority
let one: Certificate
let two: Certificate
let client: Certificate

beforeAll(() => {
  const directory = mkdtempSync(`${tmpdir()}/cricket-tls-`)
  authority = makeAuthority(directory, "authority")
  other = makeAuthority(directory, "other")
  one = authority.issue("one")
  two = authority.issue("two")
  client = authority.issue("client")
  rmSync(directory, { recursive: true })
})

/** As an administrator puts it there: written beside, then renamed. */
const put = (path: string, text: string) => {
  writeFileSync(`${path}.new`, text)
  renameSync(`${path}.new`, path)
}

const makeSettings = (changed: Partial<TlsSettings> = {}) =>
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(`${tmpdir()}/cricket-tls-`)),
    (directory) => Effect.sync(() => rmSync(directory, { recursive: true }))
  ).pipe(
    Effect.map((directory): TlsSettings => {
      put(`${directory}/stream.crt`, one.certificate)
      put(`${directory}/stream.key`, one.key)
      put(`${directory}/ca.crt`, authority.certificate)
      return {
        minVersion: "TLSv1.2",
        ciphers: "",
        certificate: `${directory}/stream.crt`,
        key: `${directory}/stream.key`,
        clientCa: "",
        ...changed
      }
    })
  )

/** The server's name, or why there is no connection. A refused client certificate shows at the first byte. */
const handshake = (url: string, options: ClientTls = {}) =>
  Effect.promise(
    () =>
      new Promise<string>((resolve) => {
        const { hostname, port } = new URL(url)
        const socket = connect({ host: hostname, port: Number(port), ca: authority.certificate, ...options })
        let peer: PeerCertificate | undefined
        socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
        socket.on("close", () => resolve("closed"))
        socket.on("secureConnect", () => {
          peer = socket.getPeerCertificate()
          socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        })
        socket.on("data", () => {
          resolve(`${peer?.subject.CN} ${socket.getProtocol()} ${socket.getCipher().name}`)
          socket.destroy()
        })
      })
  )

describe("TLS", () => {
  it.live("carries SPDY like any other connection", () =>
    Effect.gen(function* () {
      const process = yield* makeProcess
      const server = yield* serveProcess(process, { tls: yield* makeSettings() })
      const url = yield* server.urlFor(execRequest)
      assert.match(url, /^https:\/\/127\.0\.0\.1:\d+\/exec\//)
      const spdy = yield* Effect.promise(() =>
        SpdyClient.connect(url, "v4.channel.k8s.io", { ca: authority.certificate })
      )
      for (const type of ["error", "stdin", "stdout", "stderr"]) spdy.stream(type, { streamtype: type })
      spdy.data("stdin", "hello", true)
      yield* Effect.promise(() => until("the input", () => process.state.input === "hello"))
      yield* process.stdout(new Uint8Array(3_000_000))
      yield* process.end(0)
      assert.strictEqual(yield* Effect.promise(() => spdy.status()), '{"status":"Success"}')
      assert.strictEqual(spdy.text("stdout").length, 3_000_000)
    })
  )

  it.live("has a lowest version", () =>
    Effect.gen(function* () {
      const old = yield* (yield* startServer({}, { tls: yield* makeSettings() })).urlFor(execRequest)
      assert.match(yield* handshake(old, { maxVersion: "TLSv1.2" }), /^one TLSv1\.2/)
      const modern = yield* makeSettings({ minVersion: "TLSv1.3" })
      const url = yield* (yield* startServer({}, { tls: modern })).urlFor(execRequest)
      assert.match(yield* handshake(url, { maxVersion: "TLSv1.2" }), /PROTOCOL_VERSION/)
      assert.match(yield* handshake(url), /^one TLSv1\.3/)
    })
  )

  it.live("serves the suites that are configured, and those of 1.3", () =>
    Effect.gen(function* () {
      const ciphers = openSslCiphers(["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"])
      const server = yield* startServer({}, { tls: yield* makeSettings({ ciphers }) })
      const url = yield* server.urlFor(execRequest)
      const offering = (suite: string) => handshake(url, { maxVersion: "TLSv1.2", ciphers: suite })
      assert.strictEqual(
        yield* offering("ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384"),
        "one TLSv1.2 ECDHE-ECDSA-AES256-GCM-SHA384"
      )
      assert.match(yield* offering("ECDHE-ECDSA-AES128-GCM-SHA256"), /HANDSHAKE_FAILURE/)
      assert.match(yield* handshake(url), /^one TLSv1\.3/)
    })
  )

  it.live("lets in whom the client CA has signed, and nobody else", () =>
    Effect.gen(function* () {
      const settings = yield* makeSettings()
      const clientCa = settings.certificate.replace("stream.crt", "ca.crt")
      const server = yield* startServer({}, { tls: { ...settings, clientCa } })
      const url = yield* server.urlFor(execRequest)
      const { certificate: cert, key } = client
      assert.match(yield* handshake(url, { cert, key }), /^one /)
      assert.match(yield* handshake(url), /CERTIFICATE_REQUIRED|ECONNRESET|closed/)
      const directory = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(`${tmpdir()}/cricket-tls-`)),
        (path) => Effect.sync(() => rmSync(path, { recursive: true }))
      )
      const stranger = makeAuthority(directory, "strangers").issue("stranger")
      assert.match(
        yield* handshake(url, { cert: stranger.certificate, key: stranger.key }),
        /UNKNOWN_CA|ECONNRESET|closed/
      )

      // The CA is followed as well.
      put(clientCa, other.certificate)
      const refused = () => handshake(url, { cert, key })
      for (let tries = 0; (yield* refused()).startsWith("one "); tries++) {
        if (tries > 100) assert.fail("the new CA is not used")
        yield* Effect.sleep("50 millis")
      }
    })
  )

  it.live("takes new certificates without a restart, and keeps the old ones as long as the new ones are no pair", () =>
    Effect.gen(function* () {
      const process = yield* makeProcess
      const settings = yield* makeSettings()
      const server = yield* serveProcess(process, { tls: settings })
      const url = yield* server.urlFor(execRequest)
      const spdy = yield* Effect.promise(() =>
        SpdyClient.connect(url, "v4.channel.k8s.io", { ca: authority.certificate })
      )
      assert.match(yield* handshake(url), /^one /)

      put(settings.certificate, two.certificate)
      yield* Effect.sleep("500 millis")
      assert.match(yield* handshake(url), /^one /)

      put(settings.key, two.key)
      for (let tries = 0; !(yield* handshake(url)).startsWith("two "); tries++) {
        if (tries > 100) assert.fail("the new certificate is not used")
        yield* Effect.sleep("50 millis")
      }
      // Those who are connected stay.
      for (const type of ["error", "stdin", "stdout", "stderr"]) spdy.stream(type, { streamtype: type })
      yield* process.end(0)
      assert.strictEqual(yield* Effect.promise(() => spdy.status()), '{"status":"Success"}')
    })
  )

  it.live("needs files that are there, and a key that fits", () =>
    Effect.gen(function* () {
      const missing = yield* Effect.flip(startServer({}, { tls: yield* makeSettings({ key: "/nonexistent/key" }) }))
      assert.match(missing.message, /cannot use crio\.api\.stream_tls_key \/nonexistent\/key: .*ENOENT/)
      const settings = yield* makeSettings()
      put(settings.key, two.key)
      const wrong = yield* Effect.flip(startServer({}, { tls: settings }))
      assert.match(wrong.message, /cannot use the certificate .*stream\.crt with its key: /)
    })
  )
})
