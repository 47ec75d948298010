/** CDI devices and hooks of the node in a container's specification. */
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { defaultSettings } from "../../src/config/document.ts"
import { ContainerSpecs, type ContainerSpecSettings } from "../../src/oci/ContainerSpecs.ts"
import { HostFacts } from "../../src/oci/HostFacts.ts"
import { type FakeHost, fakeLinux } from "./fakeLinux.ts"
import { facts, handler, image } from "./host.ts"
import { containerConfig, criMount } from "./requests.ts"

const character = { kind: "character" as const, specialDevice: 0x0103, mode: 0o620 }

const spec = (fields: object) => JSON.stringify({ cdiVersion: "0.6.0", kind: "vendor.com/gpu", devices: [], ...fields })

const host = (more: FakeHost["files"] = {}): FakeHost => ({
  files: {
    "/dev": { kind: "directory" },
    "/dev/null": character,
    "/dev/gpu7": { kind: "block", specialDevice: 0x0801, mode: 0o600 },
    "/plain": "text",
    "/etc/cdi/broken.json": "{",
    "/etc/cdi/notes.txt": "not a specification",
    "/etc/cdi/gpu.json": spec({
      containerEdits: {
        env: ["COMMON=1", "A=spec"],
        mounts: [{ hostPath: "/lib/gpu", containerPath: "/usr/lib/gpu" }]
      },
      devices: [
        {
          name: "0",
          containerEdits: {
            env: ["A=device"],
            deviceNodes: [
              { path: "/dev/gpu0", hostPath: "/dev/null" },
              { path: "/dev/asked", type: "c", major: 195, minor: 255, fileMode: 0o400, permissions: "r", uid: 3 }
            ],
            mounts: [
              { hostPath: "/var/run/gpu", containerPath: "/run/gpu", options: ["bind", "ro"] },
              { hostPath: "tmpfs", containerPath: "/usr/lib/gpu/cache", type: "tmpfs", options: ["size=1m"] }
            ],
            hooks: [{ hookName: "createContainer", path: "/bin/ldconfig", args: ["ldconfig", "/x"] }],
            additionalGids: [44, 0]
          }
        },
        { name: "none", containerEdits: { deviceNodes: [{ path: "/dev/absent" }] } },
        { name: "file", containerEdits: { deviceNodes: [{ path: "/plain" }] } },
        { name: "fifo", containerEdits: { deviceNodes: [{ path: "/x", type: "p" }] } }
      ]
    }),
    ...more
  }
})

interface Given {
  readonly names?: ReadonlyArray<string>
  readonly config?: Parameters<typeof containerConfig>[0]
  readonly files?: FakeHost["files"]
  readonly user?: string
  readonly settings?: Partial<ContainerSpecSettings>
}

const make = ({ names = [], config, files, user = "", settings }: Given) =>
  Effect.flatMap(ContainerSpecs, (specs) =>
    specs.container({
      id: "c1",
      sandboxId: "p1",
      config: containerConfig({ command: ["/bin/sh"], CDIDevices: names.map((name) => ({ name })), ...config }),
      image: { ...image, User: user },
      handler,
      rootfs: "/rootfs",
      cgroupsPath: "/c1",
      hostname: "h",
      namespaces: { network: "/n", ipc: "/i", uts: "/u", user: undefined, pausePid: undefined, targetPid: undefined },
      podFiles: { hostname: undefined, resolvConf: undefined, sharedMemory: "/pod/shm" },
      volumeDirectory: "/run/c1/volumes"
    })
  ).pipe(
    Effect.map(({ spec: made, user: reported }) => {
      // ContainerStatus tells the groups of the first process, whoever gave them.
      assert.deepStrictEqual(reported.additionalGids, made.process.user.additionalGids)
      return made
    }),
    Effect.provide(
      ContainerSpecs.layer({ ...defaultSettings.runtime, ...defaultSettings.image, ...settings }).pipe(
        Layer.provide(Layer.succeed(HostFacts, facts)),
        Layer.provide(fakeLinux(host(files)).layer)
      )
    )
  )
const messageOf = (given: Given) => Effect.map(Effect.flip(make(given)), ({ message }) => message)

it.effect("a CDI device brings variables, nodes, rules, mounts, hooks and groups, over the request's own devices", () =>
  Effect.gen(function* () {
    const made = yield* make({
      names: ["vendor.com/gpu=0"],
      user: "5:6",
      config: {
        envs: [{ key: "A", value: Buffer.from("request") }],
        devices: [{ hostPath: "/dev/gpu7", containerPath: "/dev/gpu0", permissions: "r" }],
        mounts: [criMount({ hostPath: "/plain", containerPath: "/run/gpu" })]
      }
    })
    assert.includeMembers([...made.process.env], ["COMMON=1", "A=device"])
    assert.notInclude(made.process.env, "A=request")
    assert.deepStrictEqual(made.process.user.additionalGids, [6, 44])
    assert.deepStrictEqual(made.linux.devices, [
      { path: "/dev/gpu0", type: "c", major: 1, minor: 3, fileMode: 0o620, uid: 5, gid: 6 },
      { path: "/dev/asked", type: "c", major: 195, minor: 255, fileMode: 0o400, uid: 3, gid: 6 }
    ])
    assert.deepStrictEqual(made.linux.resources.devices?.slice(1), [
      { allow: true, type: "b", major: 8, minor: 1, access: "r" },
      { allow: true, type: "c", major: 1, minor: 3, access: "rwm" },
      { allow: true, type: "c", major: 195, minor: 255, access: "r" }
    ])
    const mounts = made.mounts.filter(({ destination }) => destination.includes("gpu"))
    assert.deepStrictEqual(
      mounts.map(({ destination, type, source, options }) => [destination, type, source, ...options]),
      [
        ["/run/gpu", "bind", "/var/run/gpu", "bind", "ro"],
        ["/usr/lib/gpu", "bind", "/lib/gpu", "rbind"],
        ["/usr/lib/gpu/cache", "tmpfs", "tmpfs", "size=1m"]
      ]
    )
    assert.deepStrictEqual(made.hooks, {
      createContainer: [{ path: "/bin/ldconfig", args: ["ldconfig", "/x"], env: [] }]
    })
  })
)

it.effect("without CDI devices no specification is read, and nothing is changed", () =>
  Effect.gen(function* () {
    const made = yield* make({ files: { "/etc/cdi/gpu.json": { kind: "fifo" } } })
    assert.isUndefined(made.hooks)
    assert.deepStrictEqual(made.linux.devices, [])
  })
)

it.effect("devices that cannot be given are told, with the files that could not be read", () =>
  Effect.gen(function* () {
    const unknown = yield* messageOf({ names: ["vendor.com/gpu=9"] })
    assert.match(unknown, /container c1: CDI_devices: unresolvable CDI device: .*vendor\.com\/gpu=9/)
    assert.match(unknown, /looked in \/etc\/cdi, \/var\/run\/cdi.*not readable: \/etc\/cdi\/broken\.json/)
    assert.match(yield* messageOf({ names: ["vendor.com/gpu=none"] }), /\/dev\/absent.*ENOENT/)
    assert.match(yield* messageOf({ names: ["vendor.com/gpu=file"] }), /\/plain is not a device/)
    assert.match(yield* messageOf({ names: ["vendor.com/gpu=fifo"] }), /\/x is a FIFO/)
  })
)

it.effect("specification directories are the configuration's", () =>
  Effect.gen(function* () {
    const files = { "/opt/cdi/gpu.yaml": spec({ devices: [{ name: "0", containerEdits: { env: ["FROM=opt"] } }] }) }
    const made = yield* make({
      names: ["vendor.com/gpu=0"],
      files,
      settings: { cdi_spec_dirs: ["/etc/cdi", "/opt/cdi"] }
    })
    assert.include(made.process.env, "FROM=opt")
    assert.notInclude(made.process.env, "COMMON=1")
  })
)

const hook = (when: object, path: string) =>
  JSON.stringify({ version: "1.0.0", hook: { path }, when, stages: ["prestart", "poststop"] })
const hooksDirectory = "/usr/share/containers/oci/hooks.d"

it.effect("hooks of the node: those that match, in the order of their names, the later directory's definition", () =>
  Effect.gen(function* () {
    const files = {
      [`${hooksDirectory}/20-second.json`]: hook({ commands: ["^/bin/sh$"] }, "/second"),
      [`${hooksDirectory}/10-first.json`]: hook({ always: true }, "/first-of-vendor"),
      [`${hooksDirectory}/30-mounts.json`]: hook({ hasBindMounts: true }, "/mounts"),
      [`${hooksDirectory}/README`]: "no definition",
      "/etc/hooks/10-first.json": hook({ always: true }, "/first-of-admin")
    }
    const settings = { hooks_dir: [hooksDirectory, "/etc/hooks"] }
    const paths = (given: Given) =>
      Effect.map(make({ files, settings, ...given }), ({ hooks }) => hooks?.prestart?.map(({ path }) => path))
    assert.deepStrictEqual(yield* paths({}), ["/first-of-admin", "/second"])
    const mounts = [criMount({ hostPath: "/plain", containerPath: "/a" })]
    assert.deepStrictEqual(yield* paths({ config: { mounts } }), ["/first-of-admin", "/second", "/mounts"])
    const made = yield* make({ files, settings, names: ["vendor.com/gpu=0"] })
    assert.deepStrictEqual(
      [made.hooks?.createContainer?.length, made.hooks?.prestart?.length, made.hooks?.poststop?.length],
      [1, 2, 2]
    )
  })
)

it.effect("a hook definition that cannot be understood stops every container, and says which", () =>
  Effect.gen(function* () {
    const files = { [`${hooksDirectory}/bad.json`]: '{"version":"0.1.0"}' }
    assert.match(yield* messageOf({ files }), /hooks_dir: .*\/bad\.json is not a hook definition/)
  })
)
