/**
 * Where a suite of the real client happens: two registries and a daemon, in mount and network namespaces that are the
 * host for them. Nothing outside of it is read or written but cgroups, which have a parent of their own.
 */
import { execFileSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { networkInterfaces } from "node:os"
import { setTimeout as sleep } from "node:timers/promises"
import { preparePlace, type RunningDaemon, startDaemon } from "../../../../scripts/lib/daemon.ts"
import { differences, hostState } from "../../../../scripts/lib/hostState.mjs"
import { startRegistry } from "../../../integration/image/registry.ts"
import { makeCrictl, type Request } from "./Crictl.ts"
import { makeImages } from "./images.ts"

/** As pods name them. The registries that they are pulled from are on loopback. */
export const names = {
  busybox: "registry.k8s.io/e2e-test-images/busybox:1.29-4",
  nginx: "docker.io/library/nginx:1",
  app: "quay.io/example/app:2",
  pause: "registry.k8s.io/pause:3.10.1",
  assets: "quay.io/example/assets:1",
  tower: "quay.io/example/tower:127"
}

export const credentials = { username: "robot", password: "pass:wörd" }

const run = (command: string, ...parameters: ReadonlyArray<string>) => {
  execFileSync(command, parameters, { stdio: ["ignore", "ignore", "pipe"] })
}

/** These directories have fixed places: the daemon and this suite see others there. */
const bindOver = (source: string, target: string) => {
  mkdirSync(source, { recursive: true })
  mkdirSync(target, { recursive: true })
  run("mount", "--bind", source, target)
}

/** A network with a loopback and nothing else is no machine's. */
const requireOwnNamespaces = () => {
  const others = Object.keys(networkInterfaces()).filter((name) => name !== "lo" && !name.startsWith("cricket"))
  if (others.length === 0) return
  throw new Error(
    `this suite changes mounts and the network, and ${others.join()} says that it would change the machine's: run it by \`npm test -- --only conformance\``
  )
}

/** Looks again until it answers something else than undefined; the last failure is its reason. */
export const eventually = async <A>(what: string, attempt: () => A | undefined | Promise<A | undefined>) => {
  let reason: unknown
  for (const until = Date.now() + 15_000; Date.now() < until; await sleep(30)) {
    try {
      const found = await attempt()
      if (found !== undefined && found !== false) return found
    } catch (error) {
      reason = error
    }
  }
  throw new Error(`never: ${what}`, { cause: reason })
}

export const openSite = async (runtime: "crun" | "runc", network: number) => {
  requireOwnNamespaces()
  const before = hostState()
  const nonce = randomBytes(6).toString("hex")
  const directory = mkdtempSync("/tmp/cricket-crictl-")
  // The store needs a file system that overlay can lie on, which a machine's own root may not be.
  run("mount", "-t", "tmpfs", "-o", "mode=0755", "cricket", directory)
  bindOver(`${directory}/etc-containers`, "/etc/containers")
  bindOver(`${directory}/var-lib-cni`, "/var/lib/cni")

  const plain = await startRegistry({ directory: `${directory}/plain`, port: 25_000 + network })
  const guarded = await startRegistry({
    directory: `${directory}/guarded`,
    port: 26_000 + network,
    guarded: credentials
  })
  const authority = `/etc/containers/certs.d/${guarded.host}`
  mkdirSync(authority, { recursive: true })
  writeFileSync(`${authority}/ca.crt`, readFileSync(`${directory}/guarded/ca.crt`))

  const page = `hello from ${nonce}\n`
  const images = makeImages(`${directory}/layouts`, page)
  // As they are: skopeo compresses what is not.
  const push = (to: typeof plain, layout: string, name: string) => to.push(layout, name, "--preserve-digests")
  await push(plain, images.busybox.directory, "k8s/e2e-test-images/busybox:1.29-4")
  await push(plain, images.pause.directory, "k8s/pause:3.10.1")
  await push(plain, images.nginx.directory, "hub/library/nginx:1")
  await push(plain, images.app.directory, "quay/example/app:2")
  await push(plain, images.assets.directory, "quay/example/assets:1")
  await push(plain, images.tower.directory, "quay/example/tower:127")
  await push(guarded, images.busybox.directory, "private/team/busybox:1")

  const registry = (prefix: string, location: string, insecure: boolean) =>
    `[[registry]]\nprefix = "${prefix}"\nlocation = "${location}"\ninsecure = ${insecure}\n`
  const place = preparePlace({
    directory: `${directory}/cricket`,
    runtime,
    network,
    registries:
      registry("registry.k8s.io", `${plain.host}/k8s`, true) +
      registry("docker.io", `${plain.host}/hub`, true) +
      registry("quay.io", `${plain.host}/quay`, true)
  })
  const policy = `${directory}/policy.json`
  writeFileSync(policy, JSON.stringify({ default: [{ type: "insecureAcceptAnything" }] }))
  const cdi = `${directory}/cdi`
  const hooks = `${directory}/hooks`
  for (const path of [cdi, hooks]) mkdirSync(path)
  const start = () =>
    startDaemon(place, {
      arguments: [
        "--log-level",
        "debug",
        "--enable-pod-events",
        "--included-pod-metrics",
        "all",
        "--cdi-spec-dirs",
        cdi,
        "--hooks-dir",
        hooks,
        "--pinned-images",
        "docker.io/library/nginx*",
        "--signature-policy",
        policy
      ]
    })
  let daemon: RunningDaemon = await start()
  const crictl = makeCrictl(place.socket, directory)
  const cgroupParent = `/cricket-crictl-${nonce}`

  let pods = 0
  /** A pod as the kubelet asks for it; `patch` replaces whole fields. */
  const pod = (name: string, patch: Request = {}, namespaces: Request = {}): Request => {
    const logs = `${place.logs}/${name}`
    mkdirSync(logs, { recursive: true })
    return {
      metadata: { name, namespace: "default", uid: `${nonce}-${pods++}`, attempt: 0 },
      hostname: name,
      log_directory: logs,
      labels: { app: name },
      annotations: { note: `of ${name}` },
      linux: {
        cgroup_parent: `${cgroupParent}/${name}`,
        // POD, CONTAINER, POD
        security_context: { namespace_options: { network: 0, pid: 1, ipc: 0, ...namespaces } }
      },
      ...patch
    }
  }

  /** A container as the kubelet asks for it, of busybox unless told. */
  const container = (name: string, script: string, patch: Request = {}): Request => ({
    metadata: { name, attempt: 0 },
    image: { image: names.busybox, user_specified_image: names.busybox },
    command: ["sh", "-c", script],
    log_path: `${name}/0.log`,
    linux: { security_context: { namespace_options: { network: 0, pid: 1, ipc: 0 } } },
    ...patch
  })

  const address = async (podId: string): Promise<string> => (await crictl.json("inspectp", podId)).status.network.ip

  /** A pod with one running container in it. */
  const startOne = async (podRequest: Request, containerRequest: Request) => {
    const podId = await crictl.runp(podRequest)
    const containerId = await crictl.create(podId, containerRequest, podRequest)
    await crictl.ok("start", containerId)
    return { podId, containerId }
  }

  /** Ends the daemon without giving it a word to say, and starts another one after `meanwhile`. */
  const killAndRestart = async (meanwhile: () => Promise<void> = async () => {}) => {
    await daemon.stop("SIGKILL")
    await meanwhile()
    daemon = await start().catch((cause: unknown) => {
      throw new Error(log().split("\n").slice(-20).join("\n"), { cause })
    })
  }

  /** What the daemon's log says of a request that failed is worth reading. */
  const log = () => readFileSync(`${place.directory}/cricket.log`, "utf8")

  const leases = `${place.directory}/leases`
  /** What is left of pods once the daemon has ended: the state of the store and of the network. */
  const leftOver = () => [
    ...readdirSync(`${place.root}/overlay-containers`).filter((name) => /^[0-9a-f]{64}$/.test(name)),
    ...readdirSync(`${directory}/var-lib-cni`).flatMap((name) =>
      readdirSync(`${directory}/var-lib-cni/${name}`).map((entry) => `/var/lib/cni/${name}/${entry}`)
    ),
    // The plugin makes it with its first lease.
    ...(existsSync(leases) ? readdirSync(leases, { recursive: true, encoding: "utf8" }) : []).filter((name) =>
      /\d+\.\d+\.\d+\.\d+$/.test(name)
    ),
    ...["netns", "utsns", "ipcns", "userns"].flatMap((kind) => {
      const pins = `${place.runroot}/${kind}`
      return readdirSync(place.runroot).includes(kind) ? readdirSync(pins).map((name) => `${pins}/${name}`) : []
    })
  ]

  /** Cgroups of pods are the kubelet's, which makes and removes them; what is still in one is the daemon's. */
  const removePodCgroups = (): ReadonlyArray<string> =>
    ["", ...readdirSync("/sys/fs/cgroup")].flatMap((hierarchy) => {
      const parent = `/sys/fs/cgroup/${hierarchy}${cgroupParent}`
      if (!existsSync(parent)) return []
      if (!existsSync(`/sys/fs/cgroup/${hierarchy}/cgroup.procs`)) {
        // crun makes directories and files where a hierarchy that is not mounted would be.
        rmSync(parent, { recursive: true })
        return []
      }
      const below = readdirSync(parent, { withFileTypes: true, recursive: true })
      const directories = below
        .filter((entry) => entry.isDirectory())
        .map((entry) => `${entry.parentPath}/${entry.name}`)
      const left = directories.filter((path) => path.slice(parent.length + 1).includes("/"))
      for (const path of [...directories.toSorted().toReversed(), parent]) rmdirSync(path)
      return left
    })

  const close = async (): Promise<ReadonlyArray<string>> => {
    await daemon.stop()
    await plain.stop()
    await guarded.stop()
    const left = [...leftOver(), ...removePodCgroups()]
    run("umount", "/etc/containers")
    run("umount", "/var/lib/cni")
    const unmount = () => {
      run("umount", directory)
      return true
    }
    await eventually("the store is unmounted", unmount)
    rmSync(directory, { recursive: true, force: true })
    // Others may use this machine; cgroups, processes and containerd's named network namespaces are seen here.
    const isOurs = (line: string) =>
      /^(cgroup|process) /.test(line)
        ? line.includes(nonce) || line.includes(directory)
        : !/^network namespace \w+: cni-/.test(line)
    // What belongs to a network and not to a pod stays with the plugins: the bridge, and portmap's common chains.
    const isNetworks = (line: string) =>
      line === `link left: ${place.bridge}` ||
      (/^firewall rule .*CNI-HOSTPORT-(DNAT|MASQ|SETMARK)/.test(line) && !line.includes("CNI-DN-"))
    const differ = () => differences(before, hostState()).filter((line) => isOurs(line) && !isNetworks(line))
    const settled = await eventually("the host is as before", () => (differ().length === 0 ? true : undefined)).catch(
      () => false
    )
    return settled ? left : [...left, ...differ()]
  }

  return {
    runtime,
    nonce,
    directory,
    place,
    page,
    images,
    plain,
    /** cdi_spec_dirs and hooks_dir of the daemon, empty at first. */
    cdi,
    hooks,
    /** Behind TLS and a password. */
    secret: `${guarded.host}/private/team/busybox:1`,
    authority,
    /** policy.json of the daemon, which lets in all. */
    policy,
    crictl,
    /** Of the daemon that runs now, for what crictl has no word for. */
    client: () => daemon.client,
    pod,
    container,
    startOne,
    address,
    killAndRestart,
    log,
    close
  }
}

export type Site = Awaited<ReturnType<typeof openSite>>
