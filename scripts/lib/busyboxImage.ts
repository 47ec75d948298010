/** Makes an OCI image layout out of this machine's own busybox: no registry, no network. */
import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import { chmodSync, copyFileSync, mkdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { gzipSync } from "node:zlib"

export interface BusyboxImage {
  /** Directory for the layout; made, and replaced if it is there. */
  readonly directory: string
  /** Written to /www/index.html. */
  readonly page: string
  /** Name in the layout's index ("docker.io/library/busybox:latest"). */
  readonly name: string
}

const busybox = "/bin/busybox"

/** The dynamic loader and libraries that a program names. */
const librariesOf = (program: string): ReadonlyArray<string> =>
  [...execFileSync("ldd", [program], { encoding: "utf8" }).matchAll(/(\/\S+) \(0x/g)].flatMap(([, path]) =>
    path === undefined ? [] : [path]
  )

const isStatic = (program: string): boolean => {
  try {
    return !execFileSync("ldd", [program], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).includes("=>")
  } catch {
    return true
  }
}

const writeRootfs = (rootfs: string, page: string): void => {
  const file = (path: string, content: string) => {
    mkdirSync(dirname(join(rootfs, path)), { recursive: true })
    writeFileSync(join(rootfs, path), content)
  }
  const copy = (path: string) => {
    mkdirSync(dirname(join(rootfs, path)), { recursive: true })
    copyFileSync(path, join(rootfs, path))
    chmodSync(join(rootfs, path), 0o755)
  }
  copy(busybox)
  if (!isStatic(busybox)) for (const library of librariesOf(busybox)) copy(library)
  for (const applet of execFileSync(busybox, ["--list"], { encoding: "utf8" }).split("\n")) {
    if (applet !== "" && applet !== "busybox") symlinkSync("busybox", join(rootfs, "bin", applet))
  }
  file("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
  file("/etc/group", "root:x:0:\nnogroup:x:65534:\n")
  file("/www/index.html", page)
  mkdirSync(join(rootfs, "root"), { mode: 0o700 })
  mkdirSync(join(rootfs, "tmp"))
  chmodSync(join(rootfs, "tmp"), 0o1777)
}

const digest = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")

export const makeBusyboxImage = ({ directory, page, name }: BusyboxImage): void => {
  rmSync(directory, { recursive: true, force: true })
  const rootfs = `${directory}/rootfs`
  mkdirSync(`${directory}/blobs/sha256`, { recursive: true })
  mkdirSync(rootfs)
  writeRootfs(rootfs, page)
  const tar = execFileSync("tar", ["--numeric-owner", "--sort=name", "-C", rootfs, "-cf", "-", "."], {
    maxBuffer: 256 << 20
  })
  rmSync(rootfs, { recursive: true })

  const blob = (mediaType: string, bytes: Uint8Array) => {
    const hex = digest(bytes)
    writeFileSync(`${directory}/blobs/sha256/${hex}`, bytes)
    return { mediaType, digest: `sha256:${hex}`, size: statSync(`${directory}/blobs/sha256/${hex}`).size }
  }
  const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value))
  const layer = blob("application/vnd.oci.image.layer.v1.tar+gzip", gzipSync(tar, { level: 1 }))
  const config = blob(
    "application/vnd.oci.image.config.v1+json",
    json({
      architecture: process.arch === "x64" ? "amd64" : process.arch,
      os: "linux",
      config: { Env: ["PATH=/bin"], Cmd: ["sh"], WorkingDir: "/" },
      rootfs: { type: "layers", diff_ids: [`sha256:${digest(tar)}`] },
      history: [{ created_by: "this machine's busybox" }]
    })
  )
  const manifest = blob(
    "application/vnd.oci.image.manifest.v1+json",
    json({ schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json", config, layers: [layer] })
  )
  const index = {
    schemaVersion: 2,
    manifests: [{ ...manifest, annotations: { "org.opencontainers.image.ref.name": name } }]
  }
  writeFileSync(`${directory}/index.json`, JSON.stringify(index))
  writeFileSync(`${directory}/oci-layout`, JSON.stringify({ imageLayoutVersion: "1.0.0" }))
}
