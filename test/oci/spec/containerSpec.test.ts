/** Whole specifications against golden files. UPDATE_GOLDEN=1 writes them anew. */
import { assert, it } from "@effect/vitest"
import { Result } from "effect"
import { readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { encodeRuntimeSpec, type RuntimeSpec } from "../../../src/model/RuntimeSpec.ts"
import { runtimeDefault } from "../../../src/oci/seccomp/runtimeDefault.ts"
import { capabilities } from "../../../src/oci/spec/capabilities.ts"
import { containerSpec } from "../../../src/oci/spec/containerSpec.ts"
import { execProcess } from "../../../src/oci/spec/execProcess.ts"
import type { ContainerSpecInput } from "../../../src/oci/spec/input.ts"
import { bind } from "../../../src/oci/spec/mounts.ts"
import { pauseSpec } from "../../../src/oci/spec/pauseSpec.ts"
import { facts, handler, image, outcome } from "../host.ts"
import { containerConfig, containerResources, linuxConfig, securityContext } from "../requests.ts"

const golden = (name: string, spec: RuntimeSpec) => {
  const path = fileURLToPath(new URL(`../fixtures/${name}.json`, import.meta.url))
  const got: unknown = JSON.parse(encodeRuntimeSpec(spec))
  if (process.env["UPDATE_GOLDEN"] !== undefined) writeFileSync(path, `${JSON.stringify(got, null, 2)}\n`)
  assert.deepStrictEqual(got, JSON.parse(readFileSync(path, "utf8")))
}

const settings = {
  default_capabilities: [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "KILL"
  ],
  add_inheritable_capabilities: false,
  default_env: ["TZ=UTC"],
  default_ulimits: ["nofile=1024:65536"],
  pids_limit: -1,
  read_only: false
}

const granted = (privileged: boolean) =>
  Result.getOrThrow(
    capabilities({
      requested: undefined,
      privileged,
      defaults: settings.default_capabilities,
      inheritable: false,
      available: facts.capabilities
    })
  )

const pod = { network: { path: "/run/netns/p" }, ipc: { path: "/run/ipcns/p" }, uts: { path: "/run/utsns/p" } }

/** As kubelet 1.37 sends it for a container of a Burstable pod. */
const kubelet: ContainerSpecInput = {
  id: "c".repeat(64),
  sandboxId: "a".repeat(64),
  config: containerConfig({
    metadata: { name: "web", attempt: 0 },
    args: ["-g", "daemon off;"],
    envs: [{ key: "KUBERNETES_SERVICE_HOST", value: Buffer.from("10.96.0.1") }],
    annotations: { "io.kubernetes.container.hash": "1a2b", "org.systemd.property.MemoryMax": "1" },
    linux: linuxConfig({
      resources: containerResources({
        cpuShares: 102n,
        cpuPeriod: 100000n,
        cpuQuota: 20000n,
        memoryLimitInBytes: 128n * 1024n * 1024n,
        oomScoreAdj: 984n
      }),
      securityContext: securityContext({
        noNewPrivs: true,
        maskedPaths: ["/proc/kcore", "/sys/firmware"],
        readonlyPaths: ["/proc/sys"]
      })
    })
  }),
  image: { ...image, Env: ["PATH=/bin", "NGINX_VERSION=1.27"], Entrypoint: ["/docker-entrypoint.sh"], Cmd: ["nginx"] },
  settings,
  handler,
  facts,
  rootfs: "/var/lib/containers/storage/overlay/x/merged",
  cgroupsPath: "kubepods-burstable-podu.slice:crio:cccc",
  hostname: "web-0",
  namespaces: { ...pod, pid: "private", user: undefined },
  user: { uid: 101, gid: 101, additionalGids: [101, 2000], home: "/nonexistent" },
  capabilities: granted(false),
  mounts: [
    bind("/run/cricket/resolv.conf", "/etc/resolv.conf", ["rw", "rprivate"]),
    bind("/var/lib/kubelet/pods/u/etc-hosts", "/etc/hosts", ["rw", "rprivate"]),
    bind("/var/lib/kubelet/pods/u/volumes/token", "/var/run/secrets/kubernetes.io/serviceaccount", ["ro", "rprivate"])
  ],
  sharedMemory: "/run/cricket/shm",
  devices: [],
  deviceRules: [],
  seccomp: { ...runtimeDefault(new Set(), "amd64"), syscalls: [] },
  apparmorProfile: undefined
}

it("a container as kubelet asks for it", () => golden("kubelet", Result.getOrThrow(containerSpec(kubelet))))

it("a privileged container", () => {
  const { seccomp: _seccomp, ...rest } = kubelet
  const spec = containerSpec({
    ...rest,
    seccomp: undefined,
    capabilities: granted(true),
    config: {
      ...kubelet.config,
      tty: true,
      linux: linuxConfig({ securityContext: securityContext({ privileged: true, maskedPaths: ["/proc/kcore"] }) })
    },
    namespaces: { network: "host", ipc: "host", uts: "host", pid: "host", user: undefined },
    facts: { ...facts, cgroupVersion: 1 }
  })
  golden("privileged", Result.getOrThrow(spec))
})

it("the pause container of a pod with a shared PID namespace", () =>
  golden(
    "pause",
    Result.getOrThrow(
      pauseSpec({
        id: "a".repeat(64),
        command: [],
        image: { ...image, Entrypoint: ["/pause"], User: "65535:65535" },
        facts,
        rootfs: "/rootfs",
        cgroupsPath: "/kubepods/podu/a",
        namespaces: { ...pod, pid: "private", user: undefined },
        user: { uid: 65535, gid: 65535, additionalGids: [65535], home: "/" },
        sharedMemory: "/run/cricket/shm",
        seccomp: undefined
      })
    )
  ))

it("without a security context the kernel's sensitive paths are hidden all the same", () => {
  const config = { ...kubelet.config, linux: undefined }
  const { linux, process } = Result.getOrThrow(containerSpec({ ...kubelet, config }))
  assert.include(linux.maskedPaths, "/proc/kcore")
  assert.include(linux.readonlyPaths, "/proc/sys")
  assert.isFalse(process.noNewPrivileges)
})

it("nothing of the image but its process reaches the specification", () => {
  const hostile = { ...image, Cmd: ["x"], Labels: { "run.oci.hooks": "LABEL" }, StopSignal: "LABEL" }
  assert.notInclude(encodeRuntimeSpec(Result.getOrThrow(containerSpec({ ...kubelet, image: hostile }))), "LABEL")
})

it("a user namespace of the pod is joined, with its mappings", () => {
  const range = [{ containerId: 0, hostId: 70_000, length: 65_536 }]
  const user = { path: "/run/userns/p", ids: { uids: range, gids: range } }
  const spec = Result.getOrThrow(containerSpec({ ...kubelet, namespaces: { ...kubelet.namespaces, user } }))
  const mappings = [{ containerID: 0, hostID: 70_000, size: 65_536 }]
  assert.deepInclude(spec.linux.namespaces, { type: "user", path: "/run/userns/p" })
  assert.deepStrictEqual([spec.linux.uidMappings, spec.linux.gidMappings], [mappings, mappings])
})

it("an exec is the container's process with another command", () => {
  const container = Result.getOrThrow(containerSpec(kubelet)).process
  const made = Result.getOrThrow(execProcess({ container, command: ["ls", "-l"], terminal: true, execId: "e1" }))
  assert.deepStrictEqual(made, {
    ...container,
    terminal: true,
    args: ["ls", "-l"],
    env: [...container.env, "TERM=xterm", "CRICKET_EXEC_ID=e1"]
  })
  for (const command of [[], [""], ["a\0"]]) {
    assert.match(String(outcome(execProcess({ container, command, terminal: false, execId: "e" }))), /^invalid cmd: /)
  }
})

it("an exec is pinned to the first of the container's processors where it is asked for", () => {
  const container = Result.getOrThrow(containerSpec(kubelet)).process
  const affinity = (pinnedTo: string | undefined) =>
    Result.getOrThrow(execProcess({ container, command: ["ls"], terminal: false, execId: "e1", pinnedTo }))
      .execCPUAffinity
  for (const [list, first] of [
    ["2-3,7", "2"],
    ["10,9", "9"],
    ["0-1", "0"]
  ] as const) {
    assert.deepStrictEqual(affinity(list), { initial: first, final: first })
  }
  for (const none of [undefined, "", "all"]) assert.isUndefined(affinity(none))
})
