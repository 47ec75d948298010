/** The reading side: what is looked up on the host and in the image. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { defaultSettings } from "../../src/config/document.ts"
import { MountPropagation } from "../../src/gen/runtime/v1/api.ts"
import { ContainerSpecs, type ContainerSpecRequest, type ContainerSpecSettings } from "../../src/oci/ContainerSpecs.ts"
import { HostFacts, type HostFactsShape } from "../../src/oci/HostFacts.ts"
import type { RuntimeHandler } from "../../src/oci/RuntimeHandlers.ts"
import { type FakeHost, fakeLinux } from "./fakeLinux.ts"
import { facts, handler, image } from "./host.ts"
import { containerConfig, criMount, linuxConfig, securityContext } from "./requests.ts"

const settings: ContainerSpecSettings = { ...defaultSettings.runtime, ...defaultSettings.image }

const request: ContainerSpecRequest = {
  id: "c1",
  sandboxId: "p1",
  config: containerConfig({ command: ["sh"] }),
  image,
  handler,
  rootfs: "/rootfs",
  cgroupsPath: "/c1",
  hostname: "h",
  namespaces: { network: "/n", ipc: "/i", uts: "/u", user: undefined, pausePid: undefined, targetPid: undefined },
  podFiles: { hostname: "/pod/hostname", resolvConf: "/pod/resolv.conf", sharedMemory: "/pod/shm" },
  volumeDirectory: "/run/c1/volumes"
}

interface Given extends Partial<ContainerSpecRequest> {
  readonly host?: FakeHost
  readonly settings?: Partial<ContainerSpecSettings>
  readonly facts?: Partial<HostFactsShape>
}

const make = ({ host = { files: {} }, settings: changes, facts: known, ...fields }: Given) =>
  Effect.flatMap(ContainerSpecs, (specs) => specs.container({ ...request, ...fields })).pipe(
    Effect.provide(
      ContainerSpecs.layer({ ...settings, ...changes }).pipe(
        Layer.provide(Layer.succeed(HostFacts, { ...facts, ...known })),
        Layer.provide(fakeLinux(host).layer)
      )
    )
  )
const config = (fields: Parameters<typeof containerConfig>[0]) => containerConfig({ command: ["sh"], ...fields })
const secured = (fields: Parameters<typeof securityContext>[0]) =>
  config({ linux: linuxConfig({ securityContext: securityContext(fields) }) })
const messageOf = (given: Given) => Effect.map(Effect.flip(make(given)), ({ message }) => message)

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

describe("devices", () => {
  const character = { kind: "character" as const, specialDevice: 0x0103, mode: 0o666 }
  const files = () => ({
    "/dev": { kind: "directory" as const },
    "/dev/null": character,
    "/dev/pts": { kind: "directory" as const },
    "/dev/pts/0": character,
    "/dev/dri": { kind: "directory" as const },
    "/dev/dri/card0": { ...character, specialDevice: 0xe200 },
    "/dev/dri/card1": { ...character, specialDevice: 0xe201 },
    "/dev/log": { kind: "socket" as const },
    "/plain": "text"
  })
  const device = (hostPath: string, containerPath: string, permissions = "rw") => ({
    hostPath,
    containerPath,
    permissions
  })

  it.effect("directories give all their devices", () =>
    Effect.gen(function* () {
      const { spec } = yield* make({
        host: { files: files() },
        config: config({ devices: [device("/dev/dri", "/gpu")] })
      })
      assert.deepStrictEqual(
        spec.linux.devices.map(({ path, major, minor }) => [path, major, minor]),
        [
          ["/gpu/card0", 226, 0],
          ["/gpu/card1", 226, 1]
        ]
      )
      assert.deepStrictEqual(spec.linux.resources.devices, [
        { allow: false, access: "rwm" },
        { allow: true, type: "c", major: 226, minor: 0, access: "rw" },
        { allow: true, type: "c", major: 226, minor: 1, access: "rw" }
      ])
    })
  )
  it.effect("privileged gets the host's, unless the handler says otherwise", () =>
    Effect.gen(function* () {
      const paths = (privileged_without_host_devices: boolean) =>
        Effect.map(
          make({
            host: { files: files() },
            config: secured({ privileged: true }),
            handler: { ...handler, options: { ...handler.options, privileged_without_host_devices } }
          }),
          ({ spec }) => spec.linux.devices.map(({ path }) => path)
        )
      assert.deepStrictEqual(yield* paths(false), ["/dev/dri/card0", "/dev/dri/card1", "/dev/null"])
      assert.deepStrictEqual(yield* paths(true), [])
    })
  )
  it.effect("in a user namespace those that are everybody's are the host's own", () =>
    Effect.gen(function* () {
      const range = [{ containerId: 0, hostId: 70_000, length: 65_536 }]
      const user = { path: "/user", ids: { uids: range, gids: range } }
      const own = { ...character, specialDevice: 0xe200, mode: 0o660 }
      const { spec } = yield* make({
        host: { files: { ...files(), "/dev/dri/card0": own } },
        namespaces: { ...request.namespaces, user },
        config: config({ devices: [device("/dev/dri", "/gpu", "r")] })
      })
      assert.deepStrictEqual(
        spec.linux.devices.map(({ path, fileMode }) => [path, fileMode]),
        [["/gpu/card0", 0o660]]
      )
      assert.deepInclude(spec.mounts, {
        destination: "/gpu/card1",
        type: "bind",
        source: "/dev/dri/card1",
        options: ["rbind", "rw", "rprivate", "nosuid", "noexec"]
      })
      assert.deepInclude(spec.linux.resources.devices ?? [], {
        allow: true,
        type: "c",
        major: 226,
        minor: 1,
        access: "r"
      })
    })
  )
  it.effect("additional_devices, ownership, and what is no device", () =>
    Effect.gen(function* () {
      const { spec } = yield* make({
        host: { files: files() },
        image: { ...image, User: "5:6" },
        settings: { additional_devices: ["/dev/null:/dev/other:r"], device_ownership_from_security_context: true }
      })
      assert.deepInclude(spec.linux.devices, {
        path: "/dev/other",
        type: "c",
        major: 1,
        minor: 3,
        fileMode: 0o666,
        uid: 5,
        gid: 6
      })
      const refused = config({ devices: [device("/plain", "/x")] })
      assert.match(yield* messageOf({ host: { files: files() }, config: refused }), /\/plain is neither a device/)
    })
  )
  it.effect("by the pod's annotation, where handler and allowed_devices let it", () =>
    Effect.gen(function* () {
      const host = { files: files() }
      const allowing = (...names: ReadonlyArray<string>) => ({
        ...handler,
        options: { ...handler.options, allowed_annotations: names }
      })
      const open = { handler: allowing("devices.crio.io"), settings: { allowed_devices: ["/dev/null"] } }
      const paths = (given: Given) =>
        Effect.map(make({ host, ...given }), ({ spec }) => spec.linux.devices.map(({ path }) => path))
      const podAnnotations = { "devices.crio.io": "/dev/null, /dev/null:/dev/other:r" }
      assert.deepStrictEqual(yield* paths({ ...open, podAnnotations }), ["/dev/null", "/dev/other"])
      const before = { "io.kubernetes.cri-o.Devices": "/dev/null" }
      assert.deepStrictEqual(yield* paths({ ...open, podAnnotations: before }), ["/dev/null"])
      assert.deepStrictEqual(yield* paths({ ...open, handler, podAnnotations }), [])
      const container = config({ annotations: podAnnotations })
      assert.deepStrictEqual(yield* paths({ ...open, config: container }), [], "a container's own says nothing")
      const other = { host, ...open, podAnnotations: { "devices.crio.io": "/dev/dri/card0" } }
      assert.match(
        yield* messageOf(other),
        /annotation devices.crio.io: \/dev\/dri\/card0 is not one of allowed_devices/
      )
      const wrong = { host, ...open, podAnnotations: { "devices.crio.io": "null" } }
      assert.match(yield* messageOf(wrong), /annotation devices.crio.io: "null" is not host:container:permissions/)
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
