/** What every layer of Namespaces does alike. */
import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import { Files } from "../../../src/linux/Files.ts"
import { Namespaces, type PinnedKind, type PinRequest } from "../../../src/linux/Namespaces.ts"
import { codeOf, type Environment, put, testsIn } from "./environment.ts"

export const namespacesContract = (name: string, environment: Environment<Namespaces | Files>): void => {
  const test = testsIn(environment)
  const kinds: ReadonlyArray<PinnedKind> = ["net", "ipc", "uts"]

  /** Pins into existing empty files; what is pinned goes with the test's scope. */
  const pin = Effect.fnUntraced(function* (dir: string, more: Partial<PinRequest> = {}) {
    const namespaces = yield* Namespaces
    const request = { namespaces: kinds.map((kind) => ({ kind, path: `${dir}/${kind}` })), sysctls: [], ...more }
    for (const kind of kinds) yield* put(`${dir}/${kind}`, "")
    yield* Effect.acquireRelease(namespaces.pin(request), () =>
      Effect.forEach(request.namespaces, ({ path }) => Effect.ignore(namespaces.unpin(path)))
    )
  })
  const pinned = Effect.fnUntraced(function* (dir: string) {
    const namespaces = yield* Namespaces
    return yield* Effect.forEach(kinds, (kind) => namespaces.isPinned(`${dir}/${kind}`))
  })

  describe(`Namespaces, ${name}`, () => {
    test("pins all kinds, and unpins them one by one", (dir) =>
      Effect.gen(function* () {
        const namespaces = yield* Namespaces
        const files = yield* Files
        yield* pin(dir, { hostname: "pod-a" })
        assert.deepStrictEqual(yield* pinned(dir), [true, true, true])
        yield* namespaces.unpin(`${dir}/ipc`)
        assert.deepStrictEqual(yield* pinned(dir), [true, false, true])
        assert.deepStrictEqual(yield* files.readDirectory(dir), ["net", "uts"])
        yield* namespaces.unpin(`${dir}/ipc`)
      }))
    test("each pin is a namespace of its own", (dir) =>
      Effect.gen(function* () {
        const files = yield* Files
        yield* files.makeDirectory(`${dir}/a`)
        yield* files.makeDirectory(`${dir}/b`)
        yield* pin(`${dir}/a`)
        yield* pin(`${dir}/b`)
        const inodes = yield* Effect.forEach(["a/net", "b/net", "a/uts", "b/uts"], (path) =>
          Effect.map(files.stat(`${dir}/${path}`), (stat) => stat.inode)
        )
        assert.strictEqual(new Set(inodes).size, 4)
      }))
    test("a user namespace is pinned with the others, and only with mappings that the kernel takes", (dir) =>
      Effect.gen(function* () {
        const namespaces = yield* Namespaces
        const files = yield* Files
        const all = ["user", ...kinds] as const
        const request = { namespaces: all.map((kind) => ({ kind, path: `${dir}/${kind}` })) }
        const mappings = (hostId: number, length: number) => {
          const range = [{ containerId: 0, hostId, length }]
          return { uids: range, gids: range }
        }
        yield* put(`${dir}/user`, "")
        assert.strictEqual(yield* codeOf(pin(dir, request)), "EINVAL")
        assert.strictEqual(yield* codeOf(pin(dir, { mappings: mappings(70_000, 1000) })), "EINVAL")
        assert.strictEqual(yield* codeOf(pin(dir, { ...request, mappings: mappings(70_000, 0) })), "EINVAL")
        assert.deepStrictEqual(yield* pinned(dir), [false, false, false])
        yield* pin(dir, { ...request, mappings: mappings(70_000, 1000), hostname: "mapped" })
        assert.deepStrictEqual(yield* pinned(dir), [true, true, true])
        assert.isTrue(yield* namespaces.isPinned(`${dir}/user`))
        yield* namespaces.unpin(`${dir}/user`)
        assert.isFalse((yield* files.readDirectory(dir)).includes("user"))
      }))
    test("files, directories and nothing at all are not pinned", (dir) =>
      Effect.gen(function* () {
        const namespaces = yield* Namespaces
        yield* put(`${dir}/file`, "")
        assert.isFalse(yield* namespaces.isPinned(`${dir}/file`))
        assert.isFalse(yield* namespaces.isPinned(dir))
        assert.isFalse(yield* namespaces.isPinned(`${dir}/none`))
        assert.isFalse(yield* namespaces.isPinned(`${dir}/file/none`))
        yield* namespaces.unpin(`${dir}/file`)
        yield* namespaces.unpin(`${dir}/none`)
        assert.deepStrictEqual(yield* (yield* Files).readDirectory(dir), [])
      }))
    test("sysctls of the new namespaces are accepted", (dir) =>
      Effect.gen(function* () {
        yield* pin(dir, {
          sysctls: [
            { path: "net/ipv4/ip_forward", value: "1" },
            { path: "kernel/shmmax", value: "1048576" }
          ]
        })
        assert.deepStrictEqual(yield* pinned(dir), [true, true, true])
      }))
    test("a failing step leaves nothing pinned", (dir) =>
      Effect.gen(function* () {
        const unknown = pin(dir, { sysctls: [{ path: "net/ipv4/no_such_key", value: "1" }] })
        assert.strictEqual(yield* codeOf(unknown), "ENOENT")
        assert.deepStrictEqual(yield* pinned(dir), [false, false, false])
        const missing = pin(dir, {
          namespaces: [
            { kind: "net", path: `${dir}/net` },
            { kind: "uts", path: `${dir}/none/uts` }
          ]
        })
        assert.strictEqual(yield* codeOf(missing), "ENOENT")
        assert.deepStrictEqual(yield* pinned(dir), [false, false, false])
      }))
    test("a sysctl of the host is refused, whatever the spelling", (dir) =>
      Effect.gen(function* () {
        for (const path of ["kernel/pid_max", "net/../kernel/pid_max", "vm/swappiness", "/net/ipv4/ip_forward", ""]) {
          assert.strictEqual(yield* codeOf(pin(dir, { sysctls: [{ path, value: "1" }] })), "EINVAL")
        }
        const withoutNet = pin(dir, {
          namespaces: [{ kind: "ipc", path: `${dir}/ipc` }],
          sysctls: [{ path: "net/ipv4/ip_forward", value: "1" }]
        })
        assert.strictEqual(yield* codeOf(withoutNet), "EINVAL")
        assert.deepStrictEqual(yield* pinned(dir), [false, false, false])
      }))
    test("counts what goes through the interfaces of a network namespace, and of nothing else", (dir) =>
      Effect.gen(function* () {
        const namespaces = yield* Namespaces
        yield* pin(dir)
        const none = { bytes: 0n, packets: 0n, errors: 0n, dropped: 0n }
        const counters = yield* namespaces.networkCounters(`${dir}/net`)
        assert.deepStrictEqual(
          counters.find(({ name }) => name === "lo"),
          { name: "lo", received: none, transmitted: none }
        )
        yield* put(`${dir}/file`, "")
        for (const path of ["uts", "file"]) {
          assert.strictEqual(yield* codeOf(namespaces.networkCounters(`${dir}/${path}`)), "EINVAL")
        }
        assert.strictEqual(yield* codeOf(namespaces.networkCounters(`${dir}/none`)), "ENOENT")
      }))
  })
}
