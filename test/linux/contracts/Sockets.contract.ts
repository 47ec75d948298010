/** What every layer of Sockets does alike. */
import { assert, describe } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope, Stream } from "effect"
import { Files } from "../../../src/linux/Files.ts"
import { Namespaces } from "../../../src/linux/Namespaces.ts"
import { Sockets, type Connection } from "../../../src/linux/Sockets.ts"
import { codeOf, type Environment, put, testsIn } from "./environment.ts"

export interface SocketEnvironment extends Environment<Sockets | Namespaces | Files> {
  /** Answers each connection to the address with what it is sent; in a pinned namespace or the host's. The port. */
  readonly echo: (
    namespace: string | undefined,
    address?: "127.0.0.1" | "::1"
  ) => Effect.Effect<number, never, Scope.Scope>
  /** A SOCK_SEQPACKET listener that answers each packet with the same; closes when the client ends. */
  readonly packets: (path: string) => Effect.Effect<void, never, Scope.Scope>
  /** Does as an OCI runtime with `--console-socket`; the program behind the terminal is `cat`. */
  readonly sendTerminal: (address: string) => Effect.Effect<void, never, Scope.Scope>
}

export const socketsContract = (name: string, environment: SocketEnvironment): void => {
  const test = testsIn(environment)

  const pinned = Effect.fnUntraced(function* (dir: string) {
    const namespaces = yield* Namespaces
    yield* put(`${dir}/net`, "")
    yield* Effect.acquireRelease(
      namespaces.pin({ namespaces: [{ kind: "net", path: `${dir}/net` }], sysctls: [] }),
      () => Effect.ignore(namespaces.unpin(`${dir}/net`))
    )
    return `${dir}/net`
  })
  const dial = Effect.fnUntraced(function* (
    namespace: string | undefined,
    port: number,
    address: "127.0.0.1" | "::1" = "127.0.0.1"
  ) {
    return yield* (yield* Sockets).dial({ namespace, address, port })
  })
  /** Everything that comes back once all is sent. */
  const roundTrip = Effect.fnUntraced(function* ({ incoming, write, endWrite }: Connection, data: Uint8Array) {
    const answer = yield* Effect.forkChild(Stream.runCollect(incoming), { startImmediately: true })
    for (let at = 0; at < data.length; at += 10_000) yield* write(data.subarray(at, at + 10_000))
    yield* endWrite
    return Buffer.concat(yield* Fiber.join(answer))
  })

  describe(`Sockets, ${name}`, () => {
    describe("dial", () => {
      test("bytes go both ways; the end of one direction leaves the other", () =>
        Effect.gen(function* () {
          const connection = yield* dial(undefined, yield* environment.echo(undefined))
          const data = Buffer.alloc(500_000, "abcdefg")
          assert.isTrue((yield* roundTrip(connection, data)).equals(data))
        }))
      test("reaches the namespace it is given, and no other", (dir) =>
        Effect.gen(function* () {
          const namespace = yield* pinned(dir)
          const port = yield* environment.echo(namespace)
          const connection = yield* dial(namespace, port)
          assert.strictEqual((yield* roundTrip(connection, Buffer.from("inside"))).toString(), "inside")
          assert.strictEqual(yield* codeOf(dial(undefined, port)), "ECONNREFUSED")
          yield* dial(undefined, yield* environment.echo(undefined))
        }))
      test("reaches either address, where that one listens", (dir) =>
        Effect.gen(function* () {
          const namespace = yield* pinned(dir)
          const port = yield* environment.echo(namespace, "::1")
          const connection = yield* dial(namespace, port, "::1")
          assert.strictEqual((yield* roundTrip(connection, Buffer.from("sixth"))).toString(), "sixth")
          assert.strictEqual(yield* codeOf(dial(namespace, port)), "ECONNREFUSED")
        }))
      test("a port where nobody listens refuses, whatever the address", (dir) =>
        Effect.gen(function* () {
          const namespace = yield* pinned(dir)
          assert.strictEqual(yield* codeOf(dial(namespace, 81)), "ECONNREFUSED")
          assert.strictEqual(yield* codeOf(dial(namespace, 81, "::1")), "ECONNREFUSED")
        }))
      test("what is no network namespace is not entered", (dir) =>
        Effect.gen(function* () {
          yield* put(`${dir}/file`, "")
          assert.strictEqual(yield* codeOf(dial(`${dir}/file`, 81)), "EINVAL")
          assert.strictEqual(yield* codeOf(dial(`${dir}/none`, 81)), "ENOENT")
        }))
      test("is closed with its scope, and whoever reads sees the end", () =>
        Effect.gen(function* () {
          const scope = yield* Scope.make()
          const port = yield* environment.echo(undefined)
          const { incoming } = yield* Scope.provide(dial(undefined, port), scope)
          const reading = yield* Effect.forkChild(Stream.runDrain(incoming), { startImmediately: true })
          yield* Scope.close(scope, Exit.void)
          yield* Fiber.join(reading).pipe(Effect.timeout("5 seconds"))
        }))
    })

    describe("connectPackets", () => {
      test("keeps packets apart, however long the path", (dir) =>
        Effect.gen(function* () {
          const files = yield* Files
          const long = `${dir}/${"long".repeat(30)}`
          yield* files.makeDirectory(long)
          yield* environment.packets(`${long}/attach`)
          const { incoming, write, endWrite } = yield* (yield* Sockets).connectPackets(`${long}/attach`)
          const packets = ["one", "two", "x".repeat(8000)]
          for (const packet of packets) yield* write(Buffer.from(packet))
          yield* endWrite
          const answers = yield* Stream.runCollect(incoming)
          assert.deepStrictEqual(
            answers.map((packet) => Buffer.from(packet).toString()),
            packets
          )
        }))
      test("a socket that is not there, or that nobody listens at", (dir) =>
        Effect.gen(function* () {
          const { connectPackets } = yield* Sockets
          const scope = yield* Scope.make()
          yield* Scope.provide(environment.packets(`${dir}/attach`), scope)
          yield* Scope.close(scope, Exit.void)
          assert.strictEqual(yield* codeOf(connectPackets(`${dir}/attach`)), "ECONNREFUSED")
          assert.strictEqual(yield* codeOf(connectPackets(`${dir}/none`)), "ENOENT")
        }))
    })

    describe("listenForTerminal", () => {
      test("gives the terminal that is sent, also to a long path", (dir) =>
        Effect.gen(function* () {
          const files = yield* Files
          for (const directory of [dir, `${dir}/${"long".repeat(30)}`]) {
            yield* files.makeDirectory(directory, { recursive: true })
            const listener = yield* (yield* Sockets).listenForTerminal(`${directory}/tty`)
            yield* environment.sendTerminal(listener.address)
            const terminal = yield* listener.terminal
            yield* terminal.resize({ width: 80, height: 25 })
            yield* terminal.write(Buffer.from("through\n"))
            const said = yield* terminal.output.pipe(
              Stream.decodeText(),
              Stream.takeUntil((text) => text.includes("\n")),
              Stream.mkString
            )
            assert.include(said, "through")
          }
        }))
      test("leaves nothing at its path", (dir) =>
        Effect.gen(function* () {
          const { listenForTerminal } = yield* Sockets
          const files = yield* Files
          const scope = yield* Scope.make()
          const { terminal } = yield* Scope.provide(listenForTerminal(`${dir}/tty`), scope)
          const waiting = yield* Effect.forkIn(terminal, scope, { startImmediately: true })
          assert.strictEqual((yield* files.lstat(`${dir}/tty`)).kind, "socket")
          assert.strictEqual(yield* codeOf(Effect.scoped(listenForTerminal(`${dir}/tty`))), "EADDRINUSE")
          yield* Effect.sleep("20 millis")
          yield* Scope.close(scope, Exit.void)
          assert.isTrue(Exit.isFailure(yield* Fiber.await(waiting)))
          assert.deepStrictEqual(yield* files.readDirectory(dir), [])
        }))
    })
  })
}
