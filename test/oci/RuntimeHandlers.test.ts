import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import { Processes } from "../../src/linux/Processes.ts"
import { HostFacts } from "../../src/oci/HostFacts.ts"
import {
  compareVersions,
  featuresByVersion,
  openAdvisories,
  parseFeatures,
  parseVersion,
  untestedBecause
} from "../../src/oci/internal/runtimeProbe.ts"
import { platformKey, RuntimeHandlers, type RuntimeTable } from "../../src/oci/RuntimeHandlers.ts"
import { fakeLinux } from "./fakeLinux.ts"
import { entry, facts, unmonitored } from "./host.ts"

const runcFeatures = JSON.stringify({
  mountOptions: ["ro", "rro"],
  linux: { namespaces: ["user", "pid"], mountExtensions: { idmap: { enabled: true } } }
})

describe("probe", () => {
  it("reads versions", () => {
    assert.deepStrictEqual(parseVersion("crun version 1.8.1\ncommit: f8a0"), { kind: "crun", version: "1.8.1" })
    assert.deepStrictEqual(parseVersion("runc version 1.1.5+ds1\nspec: 1"), { kind: "runc", version: "1.1.5" })
    assert.deepStrictEqual(parseVersion("youki version v0.5.0\n"), { kind: "other", version: "0.5.0" })
    assert.isUndefined(parseVersion("GNU bash, version 5"))
    assert.isBelow(compareVersions("1.9", "1.10"), 0)
    assert.strictEqual(compareVersions("1.1", "1.1.0"), 0)
  })
  it("reads features", () => {
    const both = { recursiveReadOnlyMounts: true, userNamespaces: true }
    assert.deepStrictEqual(parseFeatures(runcFeatures), both)
    assert.deepStrictEqual(parseFeatures('{"mountOptions":["rro"],"linux":{"namespaces":["user"]}}'), {
      recursiveReadOnlyMounts: true,
      userNamespaces: undefined
    })
    assert.deepStrictEqual(parseFeatures('{"mountOptions":null,"linux":{"namespaces":null}}'), {
      recursiveReadOnlyMounts: false,
      userNamespaces: false
    })
    assert.isUndefined(parseFeatures("unknown command features"))
    assert.deepStrictEqual(featuresByVersion("crun", "1.8.1"), both)
    assert.deepStrictEqual(featuresByVersion("runc", "1.2.0"), both)
    assert.deepStrictEqual(featuresByVersion("runc", "1.1.5"), { ...both, userNamespaces: false })
    const none = { recursiveReadOnlyMounts: false, userNamespaces: false }
    for (const [kind, version] of [
      ["crun", "1.3"],
      ["runc", "1.0.3"],
      ["other", "9.9"]
    ] as const) {
      assert.deepStrictEqual(featuresByVersion(kind, version), none)
    }
  })
  it("says of which runtimes it knows nothing", () => {
    assert.isUndefined(untestedBecause("crun", "1.8.1"))
    assert.isUndefined(untestedBecause("runc", "1.1.5"))
    assert.match(untestedBecause("crun", "1.7.2") ?? "", /^is older than 1\.8, the oldest crun /)
    assert.match(untestedBecause("runc", "1.0.3") ?? "", /^is older than 1\.1, the oldest runc /)
    assert.match(untestedBecause("other", "0.5.0") ?? "", /^is neither crun nor runc/)
  })
  it.each([
    ["1.1.5", 2],
    ["1.1.12", 1],
    ["1.2.7", 1],
    ["1.2.8", 0],
    ["1.3.2", 1],
    ["1.3.6", 0],
    ["1.4.0", 0]
  ])("runc %s has %i open advisories", (version, count) =>
    assert.strictEqual(openAdvisories("runc", version).length, count)
  )
  it("crun has none of runc's", () => assert.deepStrictEqual(openAdvisories("crun", "1.0"), []))
})

describe("RuntimeHandlers", () => {
  const program = { kind: "file" as const }
  const host = () =>
    fakeLinux({
      files: {
        "/usr/bin/crun": program,
        "/usr/sbin/runc": program,
        "/opt/plain": { kind: "file", mode: 0o644 },
        "/opt/bash": program
      },
      run: ({ path, args }) => {
        if (path === "/opt/bash") return { text: "bash" }
        const name = path.includes("crun") ? "crun" : "runc"
        if (args[0] === "--version") return { text: `${name} version 1.3.6\n` }
        return name === "runc" ? { text: runcFeatures } : { code: 1, error: "unknown command features" }
      }
    })
  type Tables = Pick<RuntimeTable, "default_runtime" | "runtimes"> & Partial<RuntimeTable>
  const load = (tables: Tables, more: Partial<typeof facts> = {}) => {
    const { ran, layer } = host()
    const handlers = RuntimeHandlers.layer({ ...unmonitored, ...tables }).pipe(
      Layer.provide(Layer.succeed(HostFacts, { ...facts, ...more })),
      Layer.provide(layer)
    )
    return { ran, handlers }
  }

  it.effect("resolves, probes, and leaves out what does not work", () => {
    const { ran, handlers } = load({
      default_runtime: "crun",
      runtimes: {
        runc: { ...entry, runtime_root: "/run/other" },
        absent: entry,
        plain: { ...entry, runtime_path: "/opt/plain" },
        bash: { ...entry, runtime_path: "/opt/bash" },
        vm: { ...entry, runtime_type: "vm", runtime_path: "/usr/bin/crun" },
        crun: entry,
        heir: { ...entry, inherit_default_runtime: true, runtime_path: "/no", allowed_annotations: ["x"] }
      }
    })
    return Effect.gen(function* () {
      const service = yield* RuntimeHandlers
      const list = yield* service.list
      assert.deepStrictEqual(
        list.map(({ name, kind, path, root }) => [name, kind, path, root]),
        [
          ["crun", "crun", "/usr/bin/crun", "/run/crun"],
          ["runc", "runc", "/usr/sbin/runc", "/run/other"],
          ["heir", "crun", "/usr/bin/crun", "/run/crun"]
        ]
      )
      assert.strictEqual((yield* service.get("")).name, "crun")
      assert.deepStrictEqual((yield* service.get("heir")).options.allowed_annotations, ["x"])
      assert.deepStrictEqual((yield* service.get("runc")).features, {
        recursiveReadOnlyMounts: true,
        userNamespaces: true
      })
      const unknown = yield* Effect.flip(service.get("vm"))
      assert.strictEqual(unknown.message, 'no runtime handler "vm"; configured and usable: crun, runc, heir')
      for (const { env } of ran) assert.deepStrictEqual(Object.keys(env), ["PATH"])
    }).pipe(Effect.provide(handlers))
  })

  it.effect.each([
    [[5, 11], true, { recursiveReadOnlyMounts: false, userNamespaces: false }],
    [[5, 12], true, { recursiveReadOnlyMounts: true, userNamespaces: false }],
    [[5, 19], true, { recursiveReadOnlyMounts: true, userNamespaces: true }],
    [[6, 1], false, { recursiveReadOnlyMounts: true, userNamespaces: false }]
  ] as const)("Linux %j, user namespaces allowed: %s", ([kernel, userNamespaces, expected]) =>
    Effect.gen(function* () {
      const { features } = yield* (yield* RuntimeHandlers).get("runc")
      assert.deepStrictEqual(features, expected)
    }).pipe(
      Effect.provide(load({ default_runtime: "runc", runtimes: { runc: entry } }, { kernel, userNamespaces }).handlers)
    )
  )

  it.effect("an answer that leaves something open is completed by the version", () => {
    const { layer } = fakeLinux({
      files: { "/usr/bin/crun": program },
      run: ({ args }) => ({
        text:
          args[0] === "--version"
            ? "crun version 1.9.2\n"
            : JSON.stringify({ mountOptions: ["ro"], linux: { namespaces: ["user"] } })
      })
    })
    const handlers = RuntimeHandlers.layer({ ...unmonitored, default_runtime: "crun", runtimes: { crun: entry } }).pipe(
      Layer.provide(Layer.succeed(HostFacts, facts)),
      Layer.provide(layer)
    )
    return Effect.gen(function* () {
      const { features } = yield* (yield* RuntimeHandlers).get("")
      assert.deepStrictEqual(features, { recursiveReadOnlyMounts: false, userNamespaces: true })
    }).pipe(Effect.provide(handlers))
  })

  it.effect.each([
    ["cgroupfs", "", "system.slice", ""],
    ["cgroupfs", "", "", ""],
    ["cgroupfs", "", "pod", "pod"],
    ["cgroupfs", "pod", "", "pod"],
    ["systemd", "", "", "system.slice"],
    ["systemd", "", "pod", "pod"],
    ["systemd", "own.slice", "pod", "own.slice"]
  ] as const)("monitor_cgroup with %s, conmon_cgroup %j and %j of the handler", ([cgroup_manager, all, own, effect]) =>
    Effect.gen(function* () {
      assert.strictEqual((yield* (yield* RuntimeHandlers).get("")).options.monitor_cgroup, effect)
    }).pipe(
      Effect.provide(
        load({
          default_runtime: "crun",
          cgroup_manager,
          conmon_cgroup: all,
          runtimes: { crun: { ...entry, monitor_cgroup: own } }
        }).handlers
      )
    )
  )

  it.effect("conmon and conmon_env stand above what handlers say", () => {
    const own = { ...entry, monitor_path: "/own", monitor_env: ["OWN=1"] }
    const tables = { default_runtime: "crun", runtimes: { crun: own } }
    const monitorOf = (table: Tables) =>
      Effect.map(
        Effect.flatMap(RuntimeHandlers, (service) => service.get("")),
        ({ options: { monitor_path, monitor_env } }) => [monitor_path, ...monitor_env]
      ).pipe(Effect.provide(load(table).handlers))
    return Effect.gen(function* () {
      assert.deepStrictEqual(yield* monitorOf(tables), ["/own", "OWN=1"])
      assert.deepStrictEqual(yield* monitorOf({ ...tables, conmon: "/all", conmon_env: ["ALL=1"] }), ["/all", "ALL=1"])
    })
  })

  const alone = (host: Parameters<typeof fakeLinux>[0], seccomp_profile = "") =>
    RuntimeHandlers.layer({
      ...unmonitored,
      default_runtime: "crun",
      runtimes: { crun: { ...entry, seccomp_profile } }
    }).pipe(Layer.provide(Layer.succeed(HostFacts, facts)), Layer.provide(fakeLinux(host).layer))
  const refusal = (layer: Layer.Layer<RuntimeHandlers, { readonly message: string }>) =>
    Effect.map(Effect.flip(Effect.scoped(Layer.build(layer))), ({ message }) => message)

  it.effect("a program that fails is refused with its own words", () =>
    Effect.gen(function* () {
      const run = () => ({ code: 127, error: "error while loading shared libraries: libyajl.so.2\nmore\n" })
      assert.strictEqual(
        yield* refusal(alone({ files: { "/usr/bin/crun": program }, run })),
        "runtime handler crun: /usr/bin/crun --version ended with exit code 127: error while loading shared libraries: libyajl.so.2"
      )
    })
  )

  it.effect("a program that hangs holds up the start for ten seconds and no more", () =>
    Effect.gen(function* () {
      const files = fakeLinux({ files: { "/usr/bin/crun": program } }).layer
      const layer = RuntimeHandlers.layer({ ...unmonitored, default_runtime: "crun", runtimes: { crun: entry } }).pipe(
        Layer.provide(Layer.succeed(HostFacts, facts)),
        Layer.provide(Layer.mock(Processes, { run: () => Effect.never })),
        Layer.provide(files)
      )
      const refused = yield* Effect.forkChild(refusal(layer), { startImmediately: true })
      yield* TestClock.adjust("9 seconds")
      assert.isUndefined(refused.pollUnsafe())
      yield* TestClock.adjust("1 seconds")
      assert.match(yield* Fiber.join(refused), /\/usr\/bin\/crun --version has not answered in 10 seconds$/)
    })
  )

  it.effect("a seccomp_profile that is none is found at the start", () =>
    Effect.gen(function* () {
      const run = () => ({ text: "crun version 1.8.1\n" })
      const files = {
        "/usr/bin/crun": program,
        "/etc/good.json": '{"defaultAction":"SCMP_ACT_ALLOW"}',
        "/etc/bad.json": "{"
      }
      assert.match(
        yield* refusal(alone({ files, run }, "/etc/none.json")),
        /seccomp_profile \/etc\/none\.json cannot be read: ENOENT$/
      )
      assert.match(
        yield* refusal(alone({ files, run }, "/etc/bad.json")),
        /seccomp_profile: \/etc\/bad\.json is not a seccomp profile/
      )
      yield* Effect.scoped(Layer.build(alone({ files, run }, "/etc/good.json")))
    })
  )

  it.effect("platform_runtime_paths have programs of their own, of which each is probed", () => {
    const { handlers } = load({
      default_runtime: "crun",
      runtimes: {
        crun: {
          ...entry,
          platform_runtime_paths: {
            "linux/arm": "/usr/sbin/runc",
            "linux/arm/v6": "/opt/bash",
            "wasi/wasm": "/opt/none"
          }
        }
      }
    })
    return Effect.gen(function* () {
      const service = yield* RuntimeHandlers
      const handler = yield* service.get("")
      const keys = [
        { os: "linux", architecture: "amd64" },
        { os: "linux", architecture: "arm" },
        { os: "linux", architecture: "arm", variant: "v7" },
        { os: "linux", architecture: "arm", variant: "v6" },
        { os: "wasi", architecture: "wasm" }
      ].map((platform) => platformKey(handler, platform))
      assert.deepStrictEqual(keys, [undefined, "linux/arm", "linux/arm", "linux/arm/v6", "wasi/wasm"])
      const { name, kind, path, root, features } = yield* service.get("", "linux/arm")
      assert.deepStrictEqual([name, kind, path, root], ["crun", "runc", "/usr/sbin/runc", "/run/crun"])
      assert.isTrue(features.userNamespaces)
      assert.match(String(handler.platforms.get("linux/arm/v6")), /^\/opt\/bash --version does not answer/)
      assert.match(String(handler.platforms.get("wasi/wasm")), /^\/opt\/none is not an executable file/)
      assert.strictEqual((yield* service.get("", "wasi/wasm")).path, "/usr/bin/crun")
      assert.strictEqual((yield* service.get("", "gone/since")).path, "/usr/bin/crun")
    }).pipe(Effect.provide(handlers))
  })

  it.effect.each([
    [{ default_runtime: "crun", runtimes: { runc: entry } }, /default_runtime is not one of/],
    [{ default_runtime: "no", runtimes: { no: entry } }, /^runtime handler no: no is not an executable file/],
    [{ default_runtime: "b", runtimes: { b: { ...entry, runtime_path: "/opt/bash" } } }, /does not answer as an OCI/],
    [
      { default_runtime: "v", runtimes: { v: { ...entry, runtime_type: "vm" as const } } },
      /runtime_type vm is not built/
    ],
    [
      { default_runtime: "crun", runtimes: { crun: { ...entry, stream_websockets: true } } },
      /stream_websockets is of runtime_type "pod", which is not built/
    ],
    [
      { default_runtime: "crun", runtimes: { crun: { ...entry, monitor_cgroup: "machine.slice" } } },
      /monitor_cgroup machine\.slice is a slice of systemd, but cgroup_manager is cgroupfs/
    ]
  ] as const)("a default handler that does not work stops the start: %#", ([table, message]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Effect.scoped(Layer.build(load(table).handlers)))
      assert.match(error.message, message)
    })
  )
})
