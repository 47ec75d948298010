/** What every layer of Mounts does alike, together with the Files of the same world. */
import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import { Files } from "../../../src/linux/Files.ts"
import { type MountFlag, Mounts } from "../../../src/linux/Mounts.ts"
import { Namespaces } from "../../../src/linux/Namespaces.ts"
import { codeOf, type Environment, put, testsIn } from "./environment.ts"

export const mountsContract = (name: string, environment: Environment<Mounts | Files | Namespaces>): void => {
  const test = testsIn(environment)
  const bind = Effect.fnUntraced(function* (source: string, target: string, ...flags: ReadonlyArray<MountFlag>) {
    const mounts = yield* Mounts
    yield* Effect.acquireRelease(mounts.mount({ source, target, type: "", flags: ["bind", ...flags], data: "" }), () =>
      Effect.ignore(mounts.unmount(target, { detach: true }))
    )
  })
  const tmpfs = Effect.fnUntraced(function* (target: string, data = "") {
    const mounts = yield* Mounts
    yield* Effect.acquireRelease(
      mounts.mount({ source: "tmpfs", target, type: "tmpfs", flags: ["nosuid", "nodev"], data }),
      () => Effect.ignore(mounts.unmount(target, { detach: true }))
    )
  })
  const directories = Effect.fnUntraced(function* (...paths: ReadonlyArray<string>) {
    const files = yield* Files
    for (const path of paths) yield* files.makeDirectory(path, { recursive: true })
  })
  /** A user namespace that maps 1000 ids from 70000 on, pinned. */
  const mappedNamespace = Effect.fnUntraced(function* (path: string) {
    const namespaces = yield* Namespaces
    const range = [{ containerId: 0, hostId: 70_000, length: 1000 }]
    yield* put(path, "")
    yield* Effect.acquireRelease(
      namespaces.pin({
        namespaces: [{ kind: "user", path }],
        mappings: { uids: range, gids: range },
        sysctls: []
      }),
      () => Effect.ignore(namespaces.unpin(path))
    )
  })

  describe(`Mounts, ${name}`, () => {
    test("a bind mount shows the source until it is unmounted", (dir) =>
      Effect.gen(function* () {
        const files = yield* Files
        const mounts = yield* Mounts
        yield* directories(`${dir}/source`, `${dir}/target`)
        yield* put(`${dir}/source/a`, "there")
        yield* bind(`${dir}/source`, `${dir}/target`)
        assert.strictEqual(yield* files.readText(`${dir}/target/a`), "there")
        yield* mounts.unmount(`${dir}/target`)
        assert.deepStrictEqual(yield* files.readDirectory(`${dir}/target`), [])
        assert.strictEqual(yield* codeOf(mounts.unmount(`${dir}/target`)), "EINVAL")
      }))
    test("a file can be bound over a file", (dir) =>
      Effect.gen(function* () {
        const files = yield* Files
        yield* put(`${dir}/a`, "a")
        yield* put(`${dir}/b`, "b")
        yield* bind(`${dir}/a`, `${dir}/b`)
        assert.strictEqual(yield* files.readText(`${dir}/b`), "a")
        assert.strictEqual(yield* codeOf(files.removeFile(`${dir}/b`)), "EBUSY")
      }))
    test("a tmpfs starts empty and is listed with its options", (dir) =>
      Effect.gen(function* () {
        const files = yield* Files
        const mounts = yield* Mounts
        yield* directories(`${dir}/shm`)
        yield* put(`${dir}/shm/hidden`, "")
        yield* tmpfs(`${dir}/shm`, "mode=1777,size=65536k")
        assert.deepStrictEqual(yield* files.readDirectory(`${dir}/shm`), [])
        assert.strictEqual((yield* files.stat(`${dir}/shm`)).mode, 0o1777)
        const [entry, ...more] = yield* mounts.list(`${dir}/shm`)
        assert.deepStrictEqual(more, [])
        assert.deepStrictEqual([entry?.target, entry?.type, entry?.root], [`${dir}/shm`, "tmpfs", "/"])
        assert.includeMembers([...(entry?.options ?? [])], ["rw", "nosuid", "nodev"])
      }))
    test("read-only binds refuse writes, the source does not", (dir) =>
      Effect.gen(function* () {
        const files = yield* Files
        const mounts = yield* Mounts
        yield* directories(`${dir}/source`, `${dir}/target`)
        yield* bind(`${dir}/source`, `${dir}/target`, "ro")
        assert.strictEqual(yield* codeOf(files.makeDirectory(`${dir}/target/x`)), "EROFS")
        yield* files.makeDirectory(`${dir}/source/x`)
        const [entry] = yield* mounts.list(`${dir}/target`)
        assert.include([...(entry?.options ?? [])], "ro")
      }))
    test("a remount changes the flags", (dir) =>
      Effect.gen(function* () {
        const files = yield* Files
        const mounts = yield* Mounts
        yield* directories(`${dir}/target`)
        yield* tmpfs(`${dir}/target`)
        const target = `${dir}/target`
        yield* mounts.mount({ source: "", target, type: "", flags: ["remount", "bind", "ro"], data: "" })
        assert.strictEqual(yield* codeOf(files.makeDirectory(`${dir}/target/x`)), "EROFS")
      }))
    test("only a recursive bind takes the mounts below along", (dir) =>
      Effect.gen(function* () {
        const files = yield* Files
        const mounts = yield* Mounts
        yield* directories(`${dir}/source/sub`, `${dir}/plain`, `${dir}/deep`)
        yield* tmpfs(`${dir}/source/sub`)
        yield* put(`${dir}/source/sub/a`, "")
        yield* bind(`${dir}/source`, `${dir}/plain`)
        yield* bind(`${dir}/source`, `${dir}/deep`, "rec")
        assert.deepStrictEqual(yield* files.readDirectory(`${dir}/plain/sub`), [])
        assert.deepStrictEqual(yield* files.readDirectory(`${dir}/deep/sub`), ["a"])
        assert.deepStrictEqual(
          (yield* mounts.list(`${dir}/deep`)).map((entry) => entry.target),
          [`${dir}/deep`, `${dir}/deep/sub`]
        )
      }))
    test("a busy mount is unmounted only when detached", (dir) =>
      Effect.gen(function* () {
        const files = yield* Files
        const mounts = yield* Mounts
        yield* directories(`${dir}/a`)
        yield* tmpfs(`${dir}/a`)
        yield* put(`${dir}/a/file`, "1")
        const file = yield* files.open(`${dir}/a/file`, "read")
        assert.strictEqual(yield* codeOf(mounts.unmount(`${dir}/a`)), "EBUSY")
        yield* mounts.unmount(`${dir}/a`, { detach: true })
        assert.deepStrictEqual(yield* mounts.list(`${dir}/a`), [])
        assert.strictEqual((yield* file.read(0, 1)).length, 1)
      }))
    test("list: at or below a path, never a neighbour with the same beginning; in mount order", (dir) =>
      Effect.gen(function* () {
        const mounts = yield* Mounts
        yield* directories(`${dir}/a`, `${dir}/ab`)
        yield* tmpfs(`${dir}/ab`)
        yield* tmpfs(`${dir}/a`)
        yield* directories(`${dir}/a/x`)
        yield* tmpfs(`${dir}/a/x`)
        assert.deepStrictEqual(
          (yield* mounts.list(`${dir}/a`)).map((entry) => entry.target),
          [`${dir}/a`, `${dir}/a/x`]
        )
        assert.isAtLeast((yield* mounts.list()).length, 3)
      }))
    test("propagation: private mounts have no peers, shared ones have a group", (dir) =>
      Effect.gen(function* () {
        const mounts = yield* Mounts
        const target = `${dir}/a`
        yield* directories(target)
        yield* tmpfs(target)
        const propagation = Effect.map(mounts.list(target), ([entry]) => entry?.propagation ?? [])
        const change = (...flags: ReadonlyArray<MountFlag>) =>
          mounts.mount({ source: "", target, type: "", flags, data: "" })
        yield* change("private", "rec")
        assert.deepStrictEqual(yield* propagation, [])
        yield* change("shared")
        assert.match((yield* propagation)[0] ?? "", /^shared:\d+$/)
        yield* change("private")
        yield* change("unbindable")
        assert.deepStrictEqual(yield* propagation, ["unbindable"])
      }))
    test("missing sources and targets are told", (dir) =>
      Effect.gen(function* () {
        const mounts = yield* Mounts
        yield* directories(`${dir}/a`)
        assert.strictEqual(yield* codeOf(bind(`${dir}/none`, `${dir}/a`)), "ENOENT")
        assert.strictEqual(yield* codeOf(bind(`${dir}/a`, `${dir}/none`)), "ENOENT")
        assert.strictEqual(yield* codeOf(mounts.unmount(`${dir}/none`)), "ENOENT")
      }))
    test("a request of which a later part is refused leaves no mount", (dir) =>
      Effect.gen(function* () {
        const mounts = yield* Mounts
        yield* directories(`${dir}/source`, `${dir}/target`)
        // A mount has one kind of propagation.
        assert.strictEqual(yield* codeOf(bind(`${dir}/source`, `${dir}/target`, "private", "shared")), "EINVAL")
        assert.deepStrictEqual(yield* mounts.list(`${dir}/target`), [])
      }))
    test("unmount does not follow a link", (dir) =>
      Effect.gen(function* () {
        const files = yield* Files
        const mounts = yield* Mounts
        yield* directories(`${dir}/a`)
        yield* tmpfs(`${dir}/a`)
        yield* files.symlink("a", `${dir}/link`)
        assert.strictEqual(yield* codeOf(mounts.unmount(`${dir}/link`)), "EINVAL")
        assert.strictEqual((yield* mounts.list(`${dir}/a`)).length, 1)
      }))
    test("removeTree stops at a mount and leaves its content", (dir) =>
      Effect.gen(function* () {
        const files = yield* Files
        yield* directories(`${dir}/tree/mounted`, `${dir}/precious`)
        yield* put(`${dir}/precious/a`, "")
        yield* bind(`${dir}/precious`, `${dir}/tree/mounted`)
        assert.strictEqual(yield* codeOf(files.removeTree(`${dir}/tree`)), "EBUSY")
        assert.strictEqual(yield* codeOf(files.removeTree(`${dir}/tree/mounted`)), "EBUSY")
        assert.deepStrictEqual(yield* files.readDirectory(`${dir}/precious`), ["a"])
      }))
    test("diskUsage leaves out what is mounted below", (dir) =>
      Effect.gen(function* () {
        const files = yield* Files
        yield* directories(`${dir}/tree/mounted`)
        const usage = yield* files.diskUsage(`${dir}/tree`)
        yield* tmpfs(`${dir}/tree/mounted`)
        yield* put(`${dir}/tree/mounted/a`, "x".repeat(100_000))
        const less = yield* files.diskUsage(`${dir}/tree`)
        assert.isTrue(less.inodes <= usage.inodes && less.bytes <= usage.bytes)
      }))
    test("an overlay shows its layers, topmost first, and keeps writes in the upper directory", (dir) =>
      Effect.gen(function* () {
        const files = yield* Files
        const mounts = yield* Mounts
        yield* directories(`${dir}/l1`, `${dir}/l2`, `${dir}/upper`, `${dir}/work`, `${dir}/merged`)
        yield* put(`${dir}/l1/both`, "top")
        yield* put(`${dir}/l2/both`, "bottom")
        yield* put(`${dir}/l2/only`, "bottom")
        yield* Effect.acquireRelease(
          mounts.mount({
            source: "overlay",
            target: `${dir}/merged`,
            type: "overlay",
            flags: [],
            data: `lowerdir=${dir}/l1:${dir}/l2,upperdir=${dir}/upper,workdir=${dir}/work`
          }),
          () => Effect.ignore(mounts.unmount(`${dir}/merged`, { detach: true }))
        )
        assert.strictEqual(yield* files.readText(`${dir}/merged/both`), "top")
        assert.strictEqual(yield* files.readText(`${dir}/merged/only`), "bottom")
        yield* put(`${dir}/merged/new`, "written")
        yield* put(`${dir}/merged/only`, "changed")
        assert.strictEqual(yield* files.readText(`${dir}/upper/new`), "written")
        assert.strictEqual(yield* files.readText(`${dir}/l2/only`), "bottom")
        assert.strictEqual((yield* mounts.list(`${dir}/merged`))[0]?.type, "overlay")
        yield* mounts.unmount(`${dir}/merged`)
        assert.deepStrictEqual(yield* files.readDirectory(`${dir}/upper`), ["new", "only"])
      }))
    test("mountOverlay takes 127 layers whose paths fill more than a page, and paths with separators", (dir) =>
      Effect.gen(function* () {
        const files = yield* Files
        const mounts = yield* Mounts
        const long = "x".repeat(100)
        const lower = Array.from({ length: 127 }, (_, index) => `${dir}/${long}-${index}`)
        yield* directories(...lower, `${dir}/a:b,c`, `${dir}/upper`, `${dir}/work`, `${dir}/merged`)
        for (const [index, path] of lower.entries()) {
          yield* put(`${path}/all`, `${index}`)
          yield* put(`${path}/of-${index}`, "")
        }
        yield* put(`${dir}/a:b,c/bottom`, "")
        yield* Effect.acquireRelease(
          mounts.mountOverlay({
            target: `${dir}/merged`,
            lower: [...lower, `${dir}/a:b,c`],
            upper: `${dir}/upper`,
            work: `${dir}/work`,
            flags: ["nodev"]
          }),
          () => Effect.ignore(mounts.unmount(`${dir}/merged`, { detach: true }))
        )
        assert.strictEqual((yield* files.readDirectory(`${dir}/merged`)).length, 129)
        assert.strictEqual(yield* files.readText(`${dir}/merged/all`), "0")
        yield* put(`${dir}/merged/all`, "written")
        assert.strictEqual(yield* files.readText(`${dir}/upper/all`), "written")
        const [entry] = yield* mounts.list(`${dir}/merged`)
        assert.deepStrictEqual([entry?.type, entry?.source], ["overlay", "overlay"])
        assert.include(entry?.options ?? [], "nodev")
      }))
    test("mountOverlay: read-only, and refused without layers, with missing ones and with too many", (dir) =>
      Effect.gen(function* () {
        const mounts = yield* Mounts
        yield* directories(`${dir}/lower`, `${dir}/upper`, `${dir}/work`, `${dir}/merged`)
        yield* put(`${dir}/lower/a`, "")
        const request = { target: `${dir}/merged`, upper: `${dir}/upper`, work: `${dir}/work`, flags: [] }
        const overlay = (...lower: ReadonlyArray<string>) => codeOf(mounts.mountOverlay({ ...request, lower }))
        assert.strictEqual(yield* overlay(), "EINVAL")
        assert.strictEqual(yield* overlay(`${dir}/lower`, `${dir}/none`), "ENOENT")
        assert.strictEqual(yield* overlay(...Array.from({ length: 400 }, () => `${dir}/lower`)), "E2BIG")
        assert.deepStrictEqual(yield* mounts.list(`${dir}/merged`), [])
        yield* Effect.acquireRelease(
          mounts.mountOverlay({ ...request, lower: [`${dir}/lower`], flags: ["ro", "noexec"] }),
          () => Effect.ignore(mounts.unmount(`${dir}/merged`, { detach: true }))
        )
        assert.strictEqual(yield* codeOf(put(`${dir}/merged/a`, "x")), "EROFS")
      }))
    test("a mapped bind shows the namespace's ids, also as a layer of an overlay that outlives it", (dir) =>
      Effect.gen(function* () {
        const files = yield* Files
        const mounts = yield* Mounts
        yield* directories(`${dir}/layers/a`, `${dir}/layers/mapped`, `${dir}/upper`, `${dir}/work`, `${dir}/merged`)
        yield* put(`${dir}/layers/a/root`, "x")
        yield* put(`${dir}/layers/a/user`, "x")
        yield* files.chown(`${dir}/layers/a/user`, 5, 6)
        yield* mappedNamespace(`${dir}/user`)
        const mapped = `${dir}/layers/mapped`
        const unmount = (target: string) => () => Effect.ignore(mounts.unmount(target, { detach: true }))
        yield* Effect.acquireRelease(
          mounts.bindMapped({ source: `${dir}/layers`, target: mapped, userNamespace: `${dir}/user` }),
          unmount(mapped)
        )
        const owner = (path: string) => Effect.map(files.stat(`${dir}/${path}`), ({ uid, gid }) => [uid, gid])
        assert.deepStrictEqual(yield* owner("layers/mapped/a/root"), [70_000, 70_000])
        yield* Effect.acquireRelease(
          mounts.mountOverlay({
            target: `${dir}/merged`,
            lower: [`${mapped}/a`],
            upper: `${dir}/upper`,
            work: `${dir}/work`,
            flags: []
          }),
          unmount(`${dir}/merged`)
        )
        yield* mounts.unmount(mapped, { detach: true })
        assert.deepStrictEqual(yield* files.readDirectory(mapped), [])
        assert.deepStrictEqual(yield* owner("merged/user"), [70_005, 70_006])
        yield* put(`${dir}/merged/user`, "y")
        assert.deepStrictEqual(yield* owner("upper/user"), [70_005, 70_006])
        assert.deepStrictEqual(yield* owner("layers/a/user"), [5, 6])
        assert.strictEqual(yield* files.readText(`${dir}/layers/a/user`), "x")
      }))
    test("what cannot be mapped is told and refused, and nothing stays mounted", (dir) =>
      Effect.gen(function* () {
        const mounts = yield* Mounts
        yield* directories(`${dir}/target`)
        yield* put(`${dir}/file`, "")
        yield* mappedNamespace(`${dir}/user`)
        const userNamespace = `${dir}/user`
        const target = `${dir}/target`
        assert.isTrue(yield* mounts.canMap({ source: dir, userNamespace }))
        assert.isFalse(yield* mounts.canMap({ source: "/proc", userNamespace }))
        assert.strictEqual(yield* codeOf(mounts.canMap({ source: `${dir}/none`, userNamespace })), "ENOENT")
        const mapped = (source: string, userNamespace: string) =>
          codeOf(mounts.bindMapped({ source, target, userNamespace }))
        assert.strictEqual(yield* mapped("/proc", userNamespace), "EINVAL")
        assert.strictEqual(yield* mapped(dir, `${dir}/file`), "EINVAL")
        assert.strictEqual(yield* mapped(dir, `${dir}/none`), "ENOENT")
        assert.strictEqual(yield* mapped(`${dir}/none`, userNamespace), "ENOENT")
        assert.deepStrictEqual(yield* mounts.list(target), [])
      }))
    test("data of a page or more is refused, not cut", (dir) =>
      Effect.gen(function* () {
        const mounts = yield* Mounts
        yield* directories(`${dir}/a`)
        const data = `size=1m,${"x".repeat(4096)}`
        const request = { source: "tmpfs", target: `${dir}/a`, type: "tmpfs", flags: [], data }
        assert.strictEqual(yield* codeOf(mounts.mount(request)), "E2BIG")
      }))
  })
}
