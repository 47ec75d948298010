/** The reading side: what is looked up on the host and in the image. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { MountPropagation } from "../../src/gen/runtime/v1/api.ts"
import type { RuntimeHandler } from "../../src/oci/RuntimeHandlers.ts"
import type { FakeHost } from "./fakeLinux.ts"
import { handler, image } from "./host.ts"
import { config, type Given, make, messageOf, request, secured } from "./containerSpecs.ts"
import { criMount } from "./requests.ts"

describe("mounts", () => {
  it.effect("follows links, makes missing sources, lets kubelet hide the pod's files", () =>
    Effect.gen(function* () {
      const files: FakeHost["files"] = { "/link": { kind: "symlink", target: "/target" } }
      const mounts = [
        criMount({ hostPath: "/link", containerPath: "/a" }),
        criMount({ hostPath: "/missing", containerPath: "/etc/hostname" })
      ]
      const { spec } = yield* make({ host: { files }, config: config({ mounts }) })
      const source = (path: string) =>
        spec.mounts.filter((each) => each.destination === path).map((each) => each.source)
      assert.deepStrictEqual(source("/a"), ["/target"])
      assert.deepStrictEqual(source("/etc/hostname"), ["/missing"])
      assert.deepStrictEqual(source("/etc/resolv.conf"), ["/pod/resolv.conf"])
      assert.deepStrictEqual(source("/etc/hosts"), [])
      assert.deepStrictEqual(files["/missing"], { kind: "directory" })
    })
  )
  it.effect("makes nothing for a mount that is refused", () =>
    Effect.gen(function* () {
      const files: FakeHost["files"] = {}
      const mounts = [criMount({ hostPath: "/missing", containerPath: "/proc/x" })]
      assert.match(
        yield* messageOf({ host: { files }, config: config({ mounts }) }),
        /container c1: mounts.container_path/
      )
      assert.deepStrictEqual(files, {})
    })
  )
  it.effect("absent_mount_sources_to_reject, bind_mount_prefix", () =>
    Effect.gen(function* () {
      const mounts = [criMount({ hostPath: "/missing/", containerPath: "/a" })]
      const message = yield* messageOf({
        config: config({ mounts }),
        settings: { absent_mount_sources_to_reject: ["/missing"] }
      })
      assert.match(message, /does not exist, and absent_mount_sources_to_reject lists it/)
      const { spec } = yield* make({ config: config({ mounts }), settings: { bind_mount_prefix: "/host" } })
      assert.strictEqual(spec.mounts.find(({ destination }) => destination === "/a")?.source, "/host/missing/")
    })
  )
  it.effect.each([
    [MountPropagation.PROPAGATION_BIDIRECTIONAL, ["shared:1"], undefined],
    [MountPropagation.PROPAGATION_BIDIRECTIONAL, ["master:1"], /is not shared/],
    [MountPropagation.PROPAGATION_HOST_TO_CONTAINER, ["master:1"], undefined],
    [MountPropagation.PROPAGATION_HOST_TO_CONTAINER, [], /neither shared nor slave/],
    [MountPropagation.PROPAGATION_PRIVATE, [], undefined]
  ] as const)("propagation %i on %j", ([propagation, tags, message]) =>
    Effect.gen(function* () {
      const given = {
        host: {
          files: { "/vol/x": { kind: "directory" as const } },
          mounts: [
            { target: "/", propagation: ["shared:9"] },
            { target: "/vol", propagation: [...tags] },
            { target: "/vo" }
          ]
        },
        config: config({ mounts: [criMount({ hostPath: "/vol/x", containerPath: "/a", propagation })] })
      }
      if (message === undefined) yield* make(given)
      else assert.match(yield* messageOf(given), message)
    })
  )
  it.effect("image volumes as the configuration says, unless kubelet mounts there", () =>
    Effect.gen(function* () {
      const volumes = (image_volumes: "mkdir" | "bind" | "ignore") =>
        Effect.gen(function* () {
          const files: FakeHost["files"] = { "/k": { kind: "directory" } }
          const { spec } = yield* make({
            host: { files },
            settings: { image_volumes },
            image: { ...image, Volumes: { "/data": {}, "/kubelet/": {} } },
            config: config({ mounts: [criMount({ hostPath: "/k", containerPath: "/kubelet" })] })
          })
          return { made: Object.keys(files), spec }
        })
      assert.deepStrictEqual((yield* volumes("mkdir")).made, ["/k", "/rootfs/data"])
      assert.deepStrictEqual((yield* volumes("ignore")).made, ["/k"])
      const { made, spec } = yield* volumes("bind")
      assert.match(made[1] ?? "", /^\/run\/c1\/volumes\/[0-9a-f]{64}$/)
      assert.strictEqual(spec.mounts.find(({ destination }) => destination === "/data")?.source, made[1])
    })
  )
  it.effect("an image mount needs its image to be mounted", () =>
    Effect.gen(function* () {
      const mount = criMount({
        containerPath: "/a",
        propagation: MountPropagation.PROPAGATION_BIDIRECTIONAL,
        image: { image: "i", annotations: {}, userSpecifiedImage: "", runtimeHandler: "", imageRef: "" }
      })
      assert.match(yield* messageOf({ config: config({ mounts: [mount] }) }), /^ImageVolumeMountFailed: /)
      const { spec } = yield* make({ config: config({ mounts: [mount] }), imageSources: new Map([["/a", "/img"]]) })
      assert.deepStrictEqual(
        spec.mounts.find(({ destination }) => destination === "/a"),
        {
          destination: "/a",
          type: "bind",
          source: "/img",
          options: ["rbind", "ro", "rprivate", "nosuid", "nodev"]
        }
      )
    })
  )
})

describe("recursive read-only mounts", () => {
  it.effect("of a file are read-only ones", () =>
    Effect.gen(function* () {
      const mount = (hostPath: string) =>
        criMount({ hostPath, containerPath: hostPath, readonly: true, recursiveReadOnly: true })
      const { spec } = yield* make({
        host: { files: { "/directory": { kind: "directory" }, "/file": "text" } },
        config: config({ mounts: [mount("/directory"), mount("/file")] })
      })
      const options = (path: string) => spec.mounts.find(({ destination }) => destination === path)?.options
      assert.deepStrictEqual(options("/directory"), ["rbind", "rro", "rprivate"])
      assert.deepStrictEqual(options("/file"), ["rbind", "ro", "rprivate"])
    })
  )
})

describe("mounts in a user namespace", () => {
  const range = [{ containerId: 0, hostId: 70_000, length: 65_536 }]
  const user = { path: "/user", ids: { uids: range, gids: range } }
  const files: FakeHost["files"] = { "/volume": { kind: "directory" }, "/file": "text" }
  const mounted = (fields: Parameters<typeof criMount>[0], of: RuntimeHandler = handler) =>
    make({
      host: { files },
      handler: of,
      namespaces: { ...request.namespaces, user },
      config: config({ mounts: [criMount({ containerPath: "/x", mountOptions: ["noexec"], ...fields })] })
    }).pipe(
      Effect.map(({ spec }) => spec.mounts.find(({ destination }) => destination === "/x")?.options.join() ?? ""),
      Effect.catch(({ message }) => Effect.succeed(message))
    )

  it.effect("what crun would forget to forbid is forbidden in its other way, or refused", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* mounted({ hostPath: "/volume" }), "rbind,rw,rprivate,rnoexec")
      assert.strictEqual(yield* mounted({ hostPath: "/volume", readonly: true }), "rbind,ro,rprivate,noexec")
      assert.strictEqual(yield* mounted({ hostPath: "/file", mountOptions: [] }), "rbind,rw,rprivate")
      assert.strictEqual(yield* mounted({ hostPath: "/file", readonly: true }), "rbind,ro,rprivate,noexec")
      assert.match(yield* mounted({ hostPath: "/file" }), /^crun enforces no options of \/x, a single file/)
      assert.strictEqual(
        yield* mounted({ hostPath: "/file" }, { ...handler, kind: "runc" }),
        "rbind,rw,rprivate,noexec"
      )
    })
  )
  it.effect("the image's volumes are its root's, who can walk to them", () =>
    Effect.gen(function* () {
      const changed: Array<string> = []
      const directories = ["/", "/run", "/run/c1", "/run/c1/volumes"]
      const closed = { kind: "directory" as const, mode: 0o700 }
      const { spec } = yield* make({
        host: { changed, files: Object.fromEntries(directories.map((path) => [path, closed])) },
        settings: { image_volumes: "bind" },
        image: { ...image, Volumes: { "/data": {} } },
        namespaces: { ...request.namespaces, user }
      })
      const { source = "" } = spec.mounts.find(({ destination }) => destination === "/data") ?? {}
      assert.deepStrictEqual(changed, [
        `${source} 70000:70000`,
        ...directories.toReversed().map((path) => `${path} 711`)
      ])
    })
  )
})

describe("confinement", () => {
  const seccomp = (given: Given) => Effect.map(make(given), ({ spec }) => spec.linux.seccomp?.defaultAction)
  const profile = '{"defaultAction":"SCMP_ACT_LOG"}'
  const runtimeDefault = { profileType: 0 as const, localhostRef: "" }
  const localhost = { profileType: 2 as const, localhostRef: "/p.json" }
  const files = {
    "/dev": { kind: "directory" as const },
    "/p.json": profile,
    "/q.json": '{"defaultAction":"SCMP_ACT_KILL"}'
  }

  it.effect("seccomp: built in, from the configuration, from the handler, from the request", () =>
    Effect.gen(function* () {
      const host = { files }
      assert.isUndefined(yield* seccomp({ host }))
      assert.strictEqual(yield* seccomp({ host, config: secured({ seccomp: runtimeDefault }) }), "SCMP_ACT_ERRNO")
      const configured = { seccomp_profile: "/p.json" }
      const given = { host, config: secured({ seccomp: runtimeDefault }), settings: configured }
      assert.strictEqual(yield* seccomp(given), "SCMP_ACT_LOG")
      const own = { ...handler, options: { ...handler.options, seccomp_profile: "/q.json" } }
      assert.strictEqual(yield* seccomp({ ...given, handler: own }), "SCMP_ACT_KILL")
      assert.strictEqual(yield* seccomp({ host, config: secured({ seccomp: localhost }) }), "SCMP_ACT_LOG")
      assert.isUndefined(yield* seccomp({ host, config: secured({ seccomp: localhost, privileged: true }) }))
      const privileged = { privileged_seccomp_profile: "/q.json" }
      assert.strictEqual(
        yield* seccomp({ host, config: secured({ privileged: true }), settings: privileged }),
        "SCMP_ACT_KILL"
      )
      assert.match(yield* messageOf({ config: secured({ seccomp: localhost }) }), /localhost_ref: \/p.json: .*ENOENT/)
    })
  )
  it.effect("a host without seccomp runs RuntimeDefault unconfined and refuses a profile of one's own", () =>
    Effect.gen(function* () {
      const without = { host: { files }, facts: { seccomp: false } }
      assert.isUndefined(yield* seccomp({ ...without, config: secured({ seccomp: runtimeDefault }) }))
      assert.match(
        yield* messageOf({ ...without, config: secured({ seccomp: localhost }) }),
        /the kernel has no seccomp/
      )
    })
  )
  it.effect("the profile knows the capabilities that the container gets", () =>
    Effect.gen(function* () {
      const fields = {
        seccomp: runtimeDefault,
        capabilities: { addCapabilities: ["SYS_ADMIN"], dropCapabilities: [], addAmbientCapabilities: [] }
      }
      const allows = (given: Given) =>
        Effect.map(make(given), ({ spec }) => spec.linux.seccomp?.syscalls[0]?.names.includes("mount"))
      assert.isTrue(yield* allows({ config: secured(fields) }))
      assert.isFalse(yield* allows({ config: secured(fields), facts: { capabilities: new Set(["CAP_KILL"]) } }))
    })
  )
  it.effect("AppArmor: only where the host has it, only what is loaded", () =>
    Effect.gen(function* () {
      const named = secured({ apparmor: { profileType: 2, localhostRef: "mine" } })
      const host = {
        files: { ...files, "/sys/kernel/security/apparmor/profiles": "crio-default (enforce)\nmine (enforce)\n" }
      }
      const applied = (given: Given) => Effect.map(make(given), ({ spec }) => spec.process.apparmorProfile)
      const enabled = { host, facts: { apparmor: true } }
      assert.match(yield* messageOf({ host, config: named }), /^AppArmor is not enabled on this host/)
      assert.isUndefined(yield* applied({ host }))
      assert.strictEqual(yield* applied(enabled), "crio-default")
      assert.strictEqual(yield* applied({ ...enabled, config: named }), "mine")
      assert.strictEqual(yield* applied({ ...enabled, config: secured({ apparmorProfile: "localhost/mine" }) }), "mine")
      assert.isUndefined(yield* applied({ ...enabled, config: secured({ privileged: true }) }))
      const absent = secured({ apparmor: { profileType: 2, localhostRef: "min" } })
      assert.match(yield* messageOf({ ...enabled, config: absent }), /AppArmor profile min is not loaded/)
    })
  )
})

it.effect("the user is read from the image", () =>
  Effect.gen(function* () {
    const files = { "/rootfs/etc/passwd": "web:x:33:34::/var/www:/bin/sh\n", "/rootfs/etc/group": "g:x:9:web\n" }
    const { spec, user } = yield* make({ host: { files }, image: { ...image, User: "web" } })
    assert.deepStrictEqual(user, { uid: 33, gid: 34, additionalGids: [34, 9], home: "/var/www" })
    assert.deepStrictEqual(spec.process.user, { uid: 33, gid: 34, additionalGids: [34, 9] })
    assert.include(spec.process.env, "HOME=/var/www")
  })
)
