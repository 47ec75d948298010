import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import { SupplementalGroupsPolicy } from "../../../src/gen/runtime/v1/api.ts"
import { Files } from "../../../src/linux/Files.ts"
import { LinuxError } from "../../../src/linux/LinuxError.ts"
import { containerUser, resolveUser, type UserRequest } from "../../../src/oci/spec/user.ts"
import { outcome } from "../host.ts"

const accounts = {
  passwd: [
    "root:x:0:0:root:/root:/bin/sh",
    "broken line",
    "huge:x:4294967296:1::/:",
    "alice:x:1000:1001:Alice:/home/alice:/bin/sh",
    "9lives:x:9:9::/home/9lives:/bin/sh",
    "0x0:x:0:0::/:",
    "relative:x:1002:1002::home:/bin/sh",
    "control:x:1003:1003::/ho\rme:/bin/sh",
    "alice:x:0:0:second:/root:/bin/sh"
  ].join("\n"),
  group: "root:x:0:root\nalice:x:1001:\nwheel:x:10:bob,alice\naudio:x:29:alice\nnumber:x:99999999999:alice\n"
}

const none: UserRequest = {
  runAsUser: undefined,
  runAsGroup: undefined,
  runAsUsername: "",
  supplementalGroups: [],
  supplementalGroupsPolicy: SupplementalGroupsPolicy.Merge
}
const resolve = (fields: Partial<UserRequest>, user = "") =>
  outcome(Effect.runSync(Effect.result(containerUser({ ...none, ...fields }, user, accounts))))
const id = (value: bigint) => ({ value })

describe("the image's USER", () => {
  it.each([
    ["", 0, 0, [0], "/root"],
    ["root", 0, 0, [0], "/root"],
    ["alice", 1000, 1001, [1001, 10, 29], "/home/alice"],
    ["1000", 1000, 1001, [1001, 10, 29], "/home/alice"],
    ["alice:wheel", 1000, 10, [10, 29], "/home/alice"],
    ["alice:", 1000, 1001, [1001, 10, 29], "/home/alice"],
    [":10", 0, 10, [10, 0], "/root"],
    ["77", 77, 0, [0], "/"],
    ["77:88", 77, 88, [88], "/"],
    ["2147483647", 2147483647, 0, [0], "/"],
    ["relative", 1002, 1002, [1002], "/"],
    ["control", 1003, 1003, [1003], "/"]
  ])("%j", (user, uid, gid, additionalGids, home) =>
    assert.deepStrictEqual(resolve({}, user), { uid, gid, additionalGids, home })
  )

  // Numbers out of range and what merely looks like a number never become a name or wrap to root.
  it.each([
    "4294967296",
    "2147483648",
    "-1",
    "+0",
    "0x0",
    " 0",
    "1 ",
    "9lives",
    "\t0",
    "1000:-1",
    "1000:4294967296",
    "1e3"
  ])("%j is refused", (user) =>
    assert.match(String(resolve({}, user)), /^invalid image USER: .* is not an id between 0 and 2147483647$/)
  )

  it.each(["nobody", "huge", "alice:nogroup", "alice:number", "Alice"])("%j is not in the image", (user) =>
    assert.match(String(resolve({}, user)), /^invalid image USER: (user|group) .* is not in the image/)
  )
})

describe("files that an image fills to the brim", () => {
  const resolves = (passwd: string, group: string, user: string) =>
    Effect.gen(function* () {
      let turns = 0
      const others = yield* Effect.forkChild(Effect.forever(Effect.map(Effect.yieldNow, () => turns++)))
      const found = yield* Effect.result(containerUser(none, user, { passwd, group }))
      yield* Fiber.interrupt(others)
      return { found: outcome(found), turns }
    })
  const size = 1024 * 1024

  it.effect("do not keep others from their work", () =>
    Effect.gen(function* () {
      const passwd = `${"a:\n".repeat(size)}a:x:5:6::/:\n`
      const group = `${"g::7:a\n".repeat(size / 8)}`
      const { found, turns } = yield* resolves(passwd, group, "a")
      assert.deepStrictEqual(found, { uid: 5, gid: 6, home: "/", additionalGids: [6, 7] })
      assert.isAbove(turns, 100)
    })
  )

  it.effect("are one line", () =>
    Effect.gen(function* () {
      const group = `g:x:7:${"b,".repeat(size)}a\n`
      const line = `a:x:5:6:${":".repeat(size)}`
      assert.deepStrictEqual((yield* resolves(line, group, "5")).found, {
        uid: 5,
        gid: 6,
        home: "/",
        additionalGids: [6, 7]
      })
    })
  )
})

describe("ids with zeros before them, names within other names", () => {
  const text = { passwd: "xa:x:3:3::/:\na:x:0005:6::/home:\n", group: "g:x:7:xa,ab\nh:x:8:ab,a\n" }
  it.each(["a", "5"])("%j", (user) =>
    assert.deepStrictEqual(outcome(Effect.runSync(Effect.result(containerUser(none, user, text)))), {
      uid: 5,
      gid: 6,
      home: "/home",
      additionalGids: [6, 8]
    })
  )
})

describe("kubelet's fields", () => {
  it("win over the image's", () =>
    assert.deepStrictEqual(resolve({ runAsUser: id(5n) }, "alice:wheel"), {
      uid: 5,
      gid: 0,
      additionalGids: [0],
      home: "/"
    }))
  it("name a user of the image", () =>
    assert.deepStrictEqual(resolve({ runAsUsername: "alice", runAsGroup: id(7n) }), {
      uid: 1000,
      gid: 7,
      additionalGids: [7, 10, 29],
      home: "/home/alice"
    }))
  it("Strict leaves out the image's groups, and keeps the primary one", () =>
    assert.deepStrictEqual(
      resolve({
        runAsUser: id(1000n),
        supplementalGroups: [44n, 44n, 1001n],
        supplementalGroupsPolicy: SupplementalGroupsPolicy.Strict
      }),
      { uid: 1000, gid: 1001, additionalGids: [1001, 44], home: "/home/alice" }
    ))
  it("Merge puts both together", () =>
    assert.deepStrictEqual(
      (resolve({ runAsUser: id(1000n), supplementalGroups: [44n] }) as { additionalGids: unknown }).additionalGids,
      [1001, 44, 10, 29]
    ))
  it.each<readonly [string, Partial<UserRequest>, RegExp]>([
    ["group alone", { runAsGroup: id(1n) }, /run_as_group: needs run_as_user/],
    ["both users", { runAsUser: id(1n), runAsUsername: "alice" }, /run_as_username: run_as_user is given/],
    ["negative uid", { runAsUser: id(-1n) }, /run_as_user: "-1"/],
    ["wrapping uid", { runAsUser: id(4294967296n) }, /run_as_user: "4294967296"/],
    ["wrapping gid", { runAsUser: id(1n), runAsGroup: id(4294967296n) }, /run_as_group: "4294967296"/],
    ["wrapping group", { supplementalGroups: [4294967296n] }, /supplemental_groups: "4294967296"/],
    ["unknown name", { runAsUsername: "nobody" }, /run_as_username: user "nobody" is not in/]
  ])("refuses: %s", (_name, fields, message) => assert.match(String(resolve(fields)), message))
})

describe("resolveUser", () => {
  const files = (read: (path: string) => Effect.Effect<Uint8Array, LinuxError>) =>
    Layer.mock(Files, { readInRoot: (root, path) => read(`${root}:${path}`) })
  const error = (code: string) => new LinuxError({ operation: "openat2", subject: "x", code })

  it.effect("reads below the root file system only", () => {
    const seen: Array<string> = []
    const layer = files((path) => Effect.sync(() => (seen.push(path), Buffer.from(accounts.passwd))))
    return Effect.gen(function* () {
      assert.strictEqual((yield* resolveUser("c1", "/rootfs", undefined, "alice")).uid, 1000)
      assert.deepStrictEqual(seen, ["/rootfs:/etc/passwd", "/rootfs:/etc/group"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("takes missing files as empty", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* resolveUser("c1", "/rootfs", undefined, "5")).uid, 5)
    }).pipe(Effect.provide(files(() => Effect.fail(error("ENOENT")))))
  )

  it.effect("fails on a file that is too large or not a regular one", () =>
    Effect.gen(function* () {
      const failure = yield* Effect.flip(resolveUser("c1", "/rootfs", undefined, "5"))
      assert.strictEqual(failure._tag, "SpecHostError")
      assert.include(failure.message, "container c1: image: /etc/passwd")
    }).pipe(Effect.provide(files(() => Effect.fail(error("EFBIG")))))
  )
})
