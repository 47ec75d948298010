/**
 * The images that critest names, made of this machine's own programs: busybox, nginx and what Go builds. They have their
 * upstream names and do what the specs ask of them, nothing else.
 */
import { execFileSync } from "node:child_process"
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { copyProgram, writeBusyboxRootfs, writeFileIn } from "../../../scripts/lib/busyboxImage.ts"
import { goPath } from "../../../scripts/lib/goTools.mjs"
import { type ImageLayout, type LayoutLayer, writeLayout } from "../../../scripts/lib/imageLayout.ts"

export interface TestImages {
  /** Of the OCI layout that holds them all. */
  readonly directory: string
  /** Every reference under which one of them is pushed. */
  readonly names: ReadonlyArray<string>
  /** Of the image that critest pulls by digest. */
  readonly digest: string
}

const staging = "gcr.io/k8s-staging-cri-tools"
const endToEnd = "registry.k8s.io/e2e-test-images"
const goArchitecture = process.arch === "x64" ? "amd64" : process.arch

const passwd = `root:x:0:0:root:/root:/bin/sh
www-data:x:33:33:www-data:/var/www:/bin/false
default-user:x:1000:1000::/home/default-user:/bin/sh
nobody:x:65534:65534:nobody:/:/bin/false
`
const group = `root:x:0:
www-data:x:33:
default-user:x:1000:
group-defined-in-image:x:50000:default-user
nogroup:x:65534:
`

// Debian's busybox has neither. The specs ask for pids by name and for the table of shared memory.
const pgrep = `#!/bin/sh
pids=$(pidof "$1") || exit 1
echo "$pids" | tr ' ' '\\n'
`
const ipcs = `#!/bin/sh
cat /proc/sysvipc/shm
`

// Holds a pod's PID namespace, and ends when it is told to.
const pause = `#!/bin/sh
trap 'exit 0' TERM INT
sleep infinity &
wait
`

const nginxConfiguration = (port: number) => `user www-data;
worker_processes 1;
pid /var/run/nginx.pid;
error_log stderr;
events { worker_connections 64; }
http {
  access_log off;
  client_body_temp_path /tmp/body;
  proxy_temp_path /tmp/proxy;
  fastcgi_temp_path /tmp/fastcgi;
  uwsgi_temp_path /tmp/uwsgi;
  scgi_temp_path /tmp/scgi;
  server {
    listen ${port};
    location / { root /usr/share/nginx/html; }
  }
}
`

const shellRootfs = (rootfs: string): void => {
  writeBusyboxRootfs(rootfs)
  writeFileIn(rootfs, "/etc/passwd", passwd)
  writeFileIn(rootfs, "/etc/group", group)
  writeFileIn(rootfs, "/bin/pgrep", pgrep, 0o755)
  writeFileIn(rootfs, "/bin/ipcs", ipcs, 0o755)
}

const nginxRootfs =
  (port: number) =>
  (rootfs: string): void => {
    copyProgram(rootfs, "/usr/sbin/nginx")
    writeFileIn(rootfs, "/etc/nginx/nginx.conf", nginxConfiguration(port))
    writeFileIn(rootfs, "/usr/share/nginx/html/index.html", "<title>Welcome to nginx!</title>\n")
    for (const name of ["run", "log/nginx", "lib/nginx"]) mkdirSync(join(rootfs, "var", name), { recursive: true })
  }

const httpdRootfs = (rootfs: string): void => writeFileIn(rootfs, "/www/index.html", "It works!\n")

const noNewPrivsRootfs = (rootfs: string): void => {
  const source = fileURLToPath(new URL("nonewprivs/main.go", import.meta.url))
  const environment = { ...process.env, CGO_ENABLED: "0", GOFLAGS: "", GO111MODULE: "off" }
  execFileSync(goPath(), ["build", "-trimpath", "-o", join(rootfs, "nonewprivs"), source], { env: environment })
  chmodSync(join(rootfs, "nonewprivs"), 0o4755)
}

const pauseRootfs = (rootfs: string): void => writeFileIn(rootfs, "/pause", pause, 0o755)

/** Images that do nothing special differ by the name of one file. */
const fileRootfs =
  (name: string) =>
  (rootfs: string): void =>
    writeFileIn(rootfs, `/${name}`, "")

const layerOf = (layout: ImageLayout, write: (rootfs: string) => void): LayoutLayer => {
  const rootfs = mkdtempSync(`${tmpdir()}/cricket-rootfs-`)
  try {
    chmodSync(rootfs, 0o755)
    write(rootfs)
    return layout.addLayer(rootfs)
  } finally {
    rmSync(rootfs, { recursive: true, force: true })
  }
}

/** Replaces what is at the directory. */
export const makeImages = (directory: string): TestImages => {
  const layout = writeLayout(directory)
  const names: Array<string> = []
  const image = (name: string, layers: ReadonlyArray<LayoutLayer>, config: Readonly<Record<string, unknown>>) => {
    names.push(name)
    return layout.addImage({ name, layers, config: { Env: ["PATH=/bin:/usr/sbin"], WorkingDir: "/", ...config } })
  }

  const shell = layerOf(layout, shellRootfs)
  image(`${endToEnd}/busybox:1.29-2`, [shell], { Cmd: ["sh"] })
  image(`${endToEnd}/httpd:2.4.39-4`, [shell, layerOf(layout, httpdRootfs)], {
    Cmd: ["sh", "-c", "echo httpd serves /www; exec httpd -f -p 80 -h /www"]
  })
  const nginx = { Cmd: ["nginx", "-g", "daemon off;"] }
  image(`${endToEnd}/nginx:1.14-2`, [shell, layerOf(layout, nginxRootfs(80))], nginx)
  image(`${staging}/hostnet-nginx-${goArchitecture}:latest`, [shell, layerOf(layout, nginxRootfs(12003))], nginx)
  image(`${endToEnd}/nonewprivs:1.3`, [layerOf(layout, noNewPrivsRootfs)], { Entrypoint: ["/nonewprivs"] })

  // One and the same image in two registries; and the one that the daemon itself asks for.
  const paused = [shell, layerOf(layout, pauseRootfs)]
  const entrypoint = ["/pause"]
  image("registry.k8s.io/pause:3.9", paused, { Entrypoint: entrypoint })
  image("k8s.gcr.io/pause:3.9", paused, { Entrypoint: entrypoint })
  image("registry.k8s.io/pause:3.10.1", paused, { Entrypoint: entrypoint, Labels: { version: "3.10.1" } })

  for (const [name, user] of [
    ["test-image-user-uid", "1002"],
    ["test-image-user-username", "www-data"],
    ["test-image-user-uid-group", "1003:1004"],
    ["test-image-user-username-group", "www-data:1004"],
    ["test-image-predefined-group", "1000"]
  ] as const) {
    image(`${staging}/${name}:latest`, [shell], { Cmd: ["sh"], User: user })
  }
  const files = (file: string) => [shell, layerOf(layout, fileRootfs(file))]
  const sleeping = { Cmd: ["sh", "-c", "sleep infinity"] }
  for (const name of ["test-image-latest", "test-image-1", "test-image-2", "test-image-3"]) {
    image(`${staging}/${name}:latest`, files(name), sleeping)
  }
  for (const tag of ["test", "all"]) image(`${staging}/test-image-tag:${tag}`, files(tag), sleeping)
  const same = files("same-image")
  for (const tag of ["1", "2", "3"]) image(`${staging}/test-image-tags:${tag}`, same, sleeping)
  const { digest } = image(`${staging}/test-image-digest:latest`, files("test-image-digest"), sleeping)

  return { directory, names, digest }
}
