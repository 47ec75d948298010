/** Mounts, devices, namespaces. */
import { assert, describe, it } from "@effect/vitest"
import { MountPropagation, NamespaceMode } from "../../../src/gen/runtime/v1/api.ts"
import type { FileKind, FileStat } from "../../../src/linux/Files.ts"
import type { Mount } from "../../../src/model/RuntimeSpec.ts"
import { configuredDevice, criDevice, deviceNode, deviceRules } from "../../../src/oci/spec/devices.ts"
import {
  arrangeMounts,
  baseMounts,
  bind,
  imageMount,
  requestMount,
  uncoveredDefaults,
  rootfsPropagation,
  volumeDestination
} from "../../../src/oci/spec/mounts.ts"
import type { NamespaceChoice } from "../../../src/oci/spec/input.ts"
import { namespaceChoices, namespaces } from "../../../src/oci/spec/namespaces.ts"
import { outcome } from "../host.ts"
import { criMount, namespaceOption } from "../requests.ts"

const features = { recursiveReadOnlyMounts: true }
const request = (fields: Parameters<typeof criMount>[0], supported = features) =>
  outcome(requestMount(criMount({ containerPath: "/mnt", hostPath: "/link", ...fields }), "/target", supported))

describe("requestMount", () => {
  it.each<readonly [Parameters<typeof criMount>[0], ReadonlyArray<string>]>([
    [{}, ["rbind", "rw", "rprivate"]],
    [{ readonly: true }, ["rbind", "ro", "rprivate"]],
    [{ propagation: MountPropagation.PROPAGATION_HOST_TO_CONTAINER }, ["rbind", "rw", "rslave"]],
    [{ propagation: MountPropagation.PROPAGATION_BIDIRECTIONAL }, ["rbind", "rw", "rshared"]],
    [{ readonly: true, recursiveReadOnly: true }, ["rbind", "rro", "rprivate"]],
    [{ mountOptions: ["noexec", "nosuid"] }, ["rbind", "rw", "rprivate", "noexec", "nosuid"]]
  ])("%j", (fields, options) =>
    assert.deepStrictEqual(request(fields), { destination: "/mnt", type: "bind", source: "/target", options })
  )

  it.each<readonly [Parameters<typeof criMount>[0], RegExp]>([
    [{ recursiveReadOnly: true }, /^invalid mounts.recursive_read_only: mount \/mnt is not readonly/],
    [
      { recursiveReadOnly: true, readonly: true, propagation: MountPropagation.PROPAGATION_HOST_TO_CONTAINER },
      /^invalid mounts.recursive_read_only: .* private propagation/
    ],
    [{ mountOptions: ["bind,suid"] }, /^invalid mounts.mount_options: /],
    [{ mountOptions: ["noexec", "suid"] }, /^invalid mounts.mount_options: "suid"/],
    [{ uidMappings: [{ hostId: 1, containerId: 0, length: 1 }] }, /^invalid mounts.uid_mappings/]
  ])("refuses %j", (fields, message) => assert.match(String(request(fields)), message))

  it("an image is read-only, and takes what more is asked to be taken away", () => {
    const image = (mountOptions: Array<string>) =>
      outcome(imageMount(criMount({ containerPath: "/mnt", mountOptions }), "/target"))
    const options = ["rbind", "ro", "rprivate", "nosuid", "nodev"]
    assert.deepInclude(image([]) as object, { source: "/target", options })
    assert.deepInclude(image(["noexec", "nosuid"]) as object, { options: [...options, "noexec"] })
    assert.match(String(image(["exec"])), /^invalid mounts.mount_options: "exec"/)
  })

  it("RROUnsupported without the feature", () =>
    assert.match(
      String(request({ recursiveReadOnly: true, readonly: true }, { recursiveReadOnlyMounts: false })),
      /^unsupported mounts.recursive_read_only: RROUnsupported/
    ))

  it.each(["/proc/cpuinfo", "/sys/fs/bpf", "/sys", "/dev/shm", "/procx", "//a/../etc/hosts"])("covers %s", (path) =>
    assert.isObject(request({ containerPath: path }))
  )
  it.each(["/", "/proc", "/proc/self/attr", "/a/../proc/sys", "//proc", "relative", ""])("does not cover %j", (path) =>
    assert.match(String(request({ containerPath: path })), /^invalid mounts.container_path: /)
  )
})

it.each(["/", "/proc", "/proc/x", "/sys/fs", "/dev", "/dev/shm", "..", "/x/../../sys", "/a\0b"])(
  "an image's VOLUME %j is refused",
  (volume) => assert.match(String(outcome(volumeDestination(volume))), /^invalid image VOLUME: /)
)
it("an image's VOLUME cannot climb out of the root", () =>
  assert.strictEqual(outcome(volumeDestination("/../../../../etc")), "/etc"))

describe("arrangeMounts", () => {
  const names = (...lists: ReadonlyArray<ReadonlyArray<Mount>>) =>
    arrangeMounts(...lists).map(({ destination, source }) => `${destination}=${source}`)
  const mount = (destination: string, source: string) => bind(source, destination, [])
  it("puts parents first and lets the later of two win", () =>
    assert.deepStrictEqual(
      names(
        [mount("/proc", "p"), mount("/a/b/c", "1"), mount("/etc/x", "2")],
        [mount("/a", "3"), mount("/etc/x", "4")]
      ),
      ["/proc=p", "/a=3", "/etc/x=4", "/a/b/c=1"]
    ))
  it("kubelet's mounts hide volumes and defaults", () => {
    const base = baseMounts({ privileged: false, sharedMemory: "/shm", foreignSysfs: false, writableTmpfs: false })
    const shm = arrangeMounts(base, [mount("/dev/shm", "kubelet")]).filter((each) => each.destination === "/dev/shm")
    assert.deepStrictEqual(
      shm.map(({ source }) => source),
      ["kubelet"]
    )
  })
  it("who binds /dev or /sys gets what is mounted below it", () => {
    const base = baseMounts({ privileged: true, sharedMemory: "/shm", foreignSysfs: false, writableTmpfs: false })
    const left = (...over: ReadonlyArray<string>) =>
      uncoveredDefaults(
        base,
        over.map((destination) => mount(destination, "kubelet"))
      ).map((each) => each.destination)
    assert.deepStrictEqual(left("/dev", "/sys"), ["/proc"])
    assert.deepStrictEqual(
      left("/dev/shm"),
      base.map((each) => each.destination)
    )
  })
  it("privileged gets /sys and cgroups writable", () => {
    const writable = (privileged: boolean) =>
      baseMounts({ privileged, sharedMemory: "/shm", foreignSysfs: false, writableTmpfs: false })
        .filter(({ destination }) => destination.startsWith("/sys"))
        .map(({ options }) => options.includes("rw"))
    assert.deepStrictEqual(
      [writable(true), writable(false)],
      [
        [true, true],
        [false, false]
      ]
    )
  })
  it("the root propagates what a mount needs", () => {
    const bound = (option: string) => rootfsPropagation([bind("/", "/x", [option])])
    assert.deepStrictEqual(["rprivate", "rslave", "rshared"].map(bound), [undefined, "rslave", "rshared"])
  })
})

describe("devices", () => {
  const stat = (kind: FileKind, specialDevice: number): FileStat => ({
    kind,
    specialDevice,
    mode: 0o2640,
    uid: 0,
    gid: 6,
    size: 0,
    inode: 1,
    device: 1,
    modifiedMs: 0
  })
  it("numbers are spread as in makedev(3)", () => {
    const node = deviceNode("/dev/x", stat("block", 8 * 256 + 17))
    assert.deepStrictEqual(node, { path: "/dev/x", type: "b", major: 8, minor: 17, fileMode: 0o640, uid: 0, gid: 6 })
    const large = deviceNode("/dev/y", stat("character", Number((0xabcn << 8n) | 0xden | (0x12345n << 20n))))
    assert.deepStrictEqual([large?.major, large?.minor], [0xabc, 0x12345de])
    assert.isUndefined(deviceNode("/dev/z", stat("file", 0)))
  })
  it("privileged may use all, others what is listed", () => {
    assert.deepStrictEqual(deviceRules(true, []), [{ allow: true, access: "rwm" }])
    assert.deepStrictEqual(deviceRules(false, [])[0], { allow: false, access: "rwm" })
  })
  it("requests of kubelet and configuration", () => {
    const device = (hostPath: string, containerPath: string, permissions: string) => ({
      hostPath,
      containerPath,
      permissions
    })
    assert.deepStrictEqual(outcome(criDevice(device("/dev/a", "", ""))), device("/dev/a", "/dev/a", "rwm"))
    assert.match(String(outcome(criDevice(device("/dev/a", "/dev/b", "rwx")))), /^invalid devices/)
    assert.deepStrictEqual(outcome(configuredDevice("/dev/a:/dev/b:r")), device("/dev/a", "/dev/b", "r"))
    assert.deepStrictEqual(outcome(configuredDevice("/dev/a:rw")), device("/dev/a", "/dev/a", "rw"))
    assert.deepStrictEqual(outcome(configuredDevice("/dev/a")), device("/dev/a", "/dev/a", "rwm"))
  })
  it.each([
    "dev/a",
    "/dev/a:rx",
    "/dev/a:/dev/b:rx",
    "/dev/a:dev/b",
    "/dev/a:dev/b:r",
    "/dev/a:r:w",
    "/dev/a:/dev/b:r:w"
  ])("%s is no device, and never one with all permissions", (text) =>
    assert.match(String(outcome(configuredDevice(text))), /^invalid additional_devices/)
  )
})

describe("namespaces", () => {
  const pod = { network: "/n", ipc: "/i", uts: "/u", user: undefined, pausePid: 7, targetPid: undefined }
  it.each<readonly [NamespaceMode, NamespaceChoice]>([
    [NamespaceMode.CONTAINER, "private"],
    [NamespaceMode.NODE, "host"],
    [NamespaceMode.POD, { path: "/proc/7/ns/pid" }]
  ])("pid mode %i", (pid, expected) =>
    assert.deepStrictEqual(outcome(namespaceChoices(namespaceOption({ pid }), pod)), {
      pid: expected,
      network: { path: "/n" },
      ipc: { path: "/i" },
      uts: { path: "/u" },
      user: undefined
    })
  )
  it("TARGET and POD need somebody to join", () => {
    assert.match(String(outcome(namespaceChoices(namespaceOption({ pid: NamespaceMode.TARGET }), pod))), /no running/)
    const alone = { ...pod, pausePid: undefined }
    assert.match(
      String(outcome(namespaceChoices(namespaceOption({ pid: NamespaceMode.POD }), alone))),
      /without a shared/
    )
    const target = outcome(namespaceChoices(namespaceOption({ pid: NamespaceMode.TARGET }), { ...pod, targetPid: 9 }))
    assert.deepStrictEqual((target as { pid: unknown }).pid, { path: "/proc/9/ns/pid" })
  })
  it("what is the host's is not listed; cgroup is private on v2", () => {
    const choices = { pid: "host", network: "host", ipc: "private", uts: { path: "/u" }, user: undefined } as const
    assert.deepStrictEqual(namespaces(choices, 1), [{ type: "ipc" }, { type: "uts", path: "/u" }, { type: "mount" }])
    assert.deepInclude(namespaces(choices, 2), { type: "cgroup" })
  })
})
