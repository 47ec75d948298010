/** A host as Debian sets it up: conmon, crun, runc, CNI plugins and a shell at their usual places. */
import type { World } from "../World.ts"
import { bridge } from "./cni/bridge.ts"
import { hostLocal } from "./cni/hostLocal.ts"
import { loopback, portmap } from "./cni/portmap.ts"
import { conmon } from "./conmon.ts"
import { ociRuntime } from "./ociRuntime.ts"
import { containerCommand } from "./shell.ts"

const commands = ["sh", "pwd", "sleep", "echo", "cat", "true", "false", "head", "env", "kill", "touch", "mkdir"]

export const cniConfigList = {
  cniVersion: "1.0.0",
  name: "pods",
  plugins: [
    {
      type: "bridge",
      bridge: "cni0",
      isGateway: true,
      ipMasq: true,
      ipam: { type: "host-local", ranges: [[{ subnet: "10.88.0.0/16" }]], routes: [{ dst: "0.0.0.0/0" }] }
    },
    { type: "portmap", capabilities: { portMappings: true } }
  ]
}

/** Installs the programs; `/etc/cni/net.d/10-pods.conflist` makes the node's network ready. */
export const installHost = (world: World): World => {
  world.install("/usr/bin/conmon", "conmon", conmon)
  world.install("/usr/bin/crun", "crun", ociRuntime("crun"))
  world.install("/usr/bin/runc", "runc", ociRuntime("runc"))
  for (const [name, program] of Object.entries({ bridge, "host-local": hostLocal, portmap, loopback })) {
    world.install(`/usr/lib/cni/${name}`, `cni-${name}`, program)
    world.install(`/opt/cni/bin/${name}`, `cni-${name}`, program)
  }
  for (const name of commands) {
    world.install(`/usr/bin/${name}`, `host-${name}`, (task) =>
      containerCommand([name, ...task.args], { env: task.env, cwd: task.process.cwd, root: "/" })(task)
    )
  }
  world.vfs.makeDirectories("/etc/cni/net.d")
  world.vfs.write("/etc/cni/net.d/10-pods.conflist", JSON.stringify(cniConfigList))
  world.vfs.write("/etc/resolv.conf", "nameserver 192.0.2.1\n")
  world.vfs.write("/etc/hosts", "127.0.0.1 localhost\n")
  world.vfs.write("/etc/hostname", "node\n")
  world.vfs.write("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
  world.vfs.write("/etc/group", "root:x:0:\n")
  world.settle()
  return world
}
