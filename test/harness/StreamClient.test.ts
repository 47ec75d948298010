import { afterEach, assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { Sockets } from "../../src/linux/Sockets.ts"
import {
  channels,
  commandStreams,
  openStream,
  portChannels,
  portStreams,
  statusOf
} from "../../src/harness/StreamClient.ts"
import type { Target } from "../../src/harness/Target.ts"
import { makeAuthority } from "../streaming/certificates.ts"
import { startFakeStreams, subprotocols } from "./fakeStreams.ts"

const endings: Array<() => void> = []
afterEach(() => {
  for (const end of endings.splice(0)) end()
})

// Of a target the client knows no more than this.
const target = { profile: { limits: { rpc: 3 } }, network: undefined } as unknown as Target

const start = (protocol: string, tls?: { readonly cert: string; readonly key: string }) =>
  Effect.promise(async () => {
    const server = await startFakeStreams("none", protocol, tls)
    endings.push(server.stop)
    return server
  })

describe("a client of streams", () => {
  for (const protocol of subprotocols) {
    const version = Number(/^v(\d)/.exec(protocol)?.[1] ?? 1)

    it.live(`by ${protocol} keeps outputs apart, writes, and learns how it ended`, () =>
      Effect.gen(function* () {
        const { urlFor } = yield* start(protocol)
        const url = urlFor({ cmd: ["sh", "-c", "head -c 3; echo no >&2; exit 9"], stdin: true, tty: false })
        const stream = yield* openStream(target, "Exec", url, "command")
        yield* stream.send(channels.stdin, Buffer.from([0, 255, 128]))
        yield* stream.end
        assert.deepStrictEqual([...stream.received(channels.stdout)], [0, 255, 128])
        assert.strictEqual(stream.received(channels.stderr).toString(), "no\n")
        assert.strictEqual(stream.version, version)
        assert.strictEqual(statusOf(stream).code, version < 4 ? undefined : 9)
        assert.match(statusOf(stream).text, /9/)
      }).pipe(Effect.scoped, Effect.provide(Sockets.layer))
    )
  }

  it.live("by v5 closes stdin and still reads; older ones have no such end", () =>
    Effect.gen(function* () {
      const { urlFor } = yield* start("v5.channel.k8s.io")
      const stream = yield* openStream(
        target,
        "Exec",
        urlFor({ cmd: ["sh", "-c", "cat; echo end"], stdin: true, tty: false }),
        "command"
      )
      yield* stream.send(channels.stdin, Buffer.from("x"))
      assert.isTrue(yield* stream.until(() => stream.received(channels.stdout).length === 1))
      yield* stream.endChannel(channels.stdin)
      yield* stream.end
      assert.strictEqual(stream.received(channels.stdout).toString(), "xend\n")
      assert.isFalse(yield* stream.until(() => false))
      const { urlFor: older } = yield* start("v4.channel.k8s.io")
      const other = yield* openStream(target, "Exec", older({ cmd: ["cat"], stdin: true, tty: false }), "command")
      yield* other.endChannel(channels.stdin)
      yield* other.send(channels.stdin, Buffer.from("y"))
      assert.isTrue(yield* other.until(() => other.received(channels.stdout).toString() === "y"))
    }).pipe(Effect.scoped, Effect.provide(Sockets.layer))
  )

  it.live("over SPDY keeps outputs apart, closes stdin, still reads, and learns how it ended", () =>
    Effect.gen(function* () {
      const { urlFor } = yield* start("v5.channel.k8s.io")
      const shape = { stdin: true, tty: false }
      const url = urlFor({ cmd: ["sh", "-c", "cat; echo no >&2; exit 9"], ...shape })
      const stream = yield* openStream(target, "Exec", url, "command", commandStreams(shape))
      const many = Buffer.alloc(300_000, "x")
      yield* stream.send(channels.stdin, many)
      assert.isTrue(yield* stream.until(() => stream.received(channels.stdout).length === many.length))
      assert.isTrue(stream.canEnd)
      yield* stream.endChannel(channels.stdin)
      yield* stream.end
      assert.isTrue(stream.received(channels.stdout).equals(many))
      assert.strictEqual(stream.received(channels.stderr).toString(), "no\n")
      assert.deepInclude(statusOf(stream), { code: 9 })
      assert.isFalse(yield* stream.until(() => false))
    }).pipe(Effect.scoped, Effect.provide(Sockets.layer))
  )

  it.live("forwards a port over SPDY, and hears of one where nobody listens", () =>
    Effect.gen(function* () {
      const { urlFor } = yield* start("v5.channel.k8s.io")
      const open = (port: number, isOpen: boolean) =>
        openStream(target, "PortForward", urlFor({ port, open: isOpen }), "ports", portStreams(port))
      const stream = yield* open(80, true)
      yield* stream.send(portChannels.data, Buffer.from("there and back"))
      assert.isTrue(
        yield* stream.until(() => stream.received(portChannels.data).toString("latin1") === "there and back")
      )
      const refused = yield* open(81, false)
      yield* refused.end
      assert.strictEqual(refused.received(portChannels.error).toString("latin1"), "connection refused")
    }).pipe(Effect.scoped, Effect.provide(Sockets.layer))
  )

  it.live("opens both over TLS, whoever has signed the certificate", () =>
    Effect.gen(function* () {
      const directory = mkdtempSync(`${tmpdir()}/cricket-harness-tls-`)
      const certificate = makeAuthority(directory, "authority").issue("server")
      rmSync(directory, { recursive: true })
      const { urlFor } = yield* start("v5.channel.k8s.io", { cert: certificate.certificate, key: certificate.key })
      for (const streams of [undefined, commandStreams({ stdin: false, tty: false })]) {
        const url = urlFor({ cmd: ["echo", "secret"], stdin: false, tty: false })
        assert.match(url, /^https:/)
        const stream = yield* openStream(target, "Exec", url, "command", streams)
        yield* stream.end
        assert.strictEqual(stream.received(channels.stdout).toString("latin1"), "secret\n")
      }
    }).pipe(Effect.scoped, Effect.provide(Sockets.layer))
  )

  it.live("says by a code what has failed: no token, nobody who listens, a connection that was cut", () =>
    Effect.gen(function* () {
      const server = yield* start("v5.channel.k8s.io")
      const url = server.urlFor({ cmd: ["sleep", "20"], stdin: false, tty: false })
      const open = (address: string) => openStream(target, "Exec", address, "command")
      const overSpdy = (address: string) =>
        openStream(target, "Exec", address, "command", commandStreams({ stdin: false, tty: false }))
      assert.strictEqual((yield* Effect.flip(open(`${url}x`))).code, "HTTP_404")
      assert.strictEqual((yield* Effect.flip(overSpdy(`${url}x`))).code, "HTTP_404")
      assert.strictEqual((yield* Effect.flip(open("file:///x"))).code, "ADDRESS")
      const stream = yield* open(url)
      const spdy = yield* overSpdy(server.urlFor({ cmd: ["sleep", "20"], stdin: false, tty: false }))
      server.stop()
      assert.strictEqual((yield* Effect.flip(stream.end)).code, "CONNECTION")
      assert.strictEqual((yield* Effect.flip(spdy.end)).code, "CONNECTION")
      assert.strictEqual((yield* Effect.flip(open(url))).code, "ECONNREFUSED")
    }).pipe(Effect.scoped, Effect.provide(Sockets.layer))
  )
})
