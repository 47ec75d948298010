/** Makes an image out of this machine's own busybox: no registry, no network. */
import { execFileSync } from "node:child_process"
import { chmodSync, copyFileSync, linkSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { type LayoutImage, writeLayout } from "./imageLayout.ts"

export interface BusyboxImage {
  /** Directory for the layout; made, and replaced if it is there. */
  readonly directory: string
  /** Written to /www/index.html. */
  readonly page: string
  /** Name in the layout's index ("docker.io/library/busybox:latest"). */
  readonly name: string
  /** What it says that it is for; this machine unless told. */
  readonly platform?: LayoutImage["platform"]
}

const busybox = "/bin/busybox"

/** The dynamic loader and libraries that a program names; none if it is static. */
const librariesOf = (program: string): ReadonlyArray<string> => {
  try {
    const listed = execFileSync("ldd", [program], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] })
    return [...listed.matchAll(/(\/\S+) \(0x/g)].flatMap(([, path]) => (path === undefined ? [] : [path]))
  } catch {
    return []
  }
}

/** Copies a program of this machine with all that it loads. */
export const copyProgram = (rootfs: string, program: string): void => {
  for (const path of [program, ...librariesOf(program)]) {
    mkdirSync(dirname(join(rootfs, path)), { recursive: true })
    copyFileSync(path, join(rootfs, path))
    chmodSync(join(rootfs, path), 0o755)
  }
}

export const writeFileIn = (rootfs: string, path: string, content: string, mode = 0o644): void => {
  mkdirSync(dirname(join(rootfs, path)), { recursive: true })
  writeFileSync(join(rootfs, path), content)
  chmodSync(join(rootfs, path), mode)
}

/** busybox under the names of all its applets (hard links: one may be masked without the others), users, a home and a place for temporary files. */
export const writeBusyboxRootfs = (rootfs: string): void => {
  copyProgram(rootfs, busybox)
  for (const applet of execFileSync(busybox, ["--list"], { encoding: "utf8" }).split("\n")) {
    if (applet !== "" && applet !== "busybox") linkSync(join(rootfs, busybox), join(rootfs, "bin", applet))
  }
  writeFileIn(rootfs, "/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
  writeFileIn(rootfs, "/etc/group", "root:x:0:\nnogroup:x:65534:\n")
  mkdirSync(join(rootfs, "root"), { mode: 0o700 })
  mkdirSync(join(rootfs, "tmp"))
  chmodSync(join(rootfs, "tmp"), 0o1777)
}

export const makeBusyboxImage = ({ directory, page, name, platform }: BusyboxImage): void => {
  const rootfs = mkdtempSync(`${tmpdir()}/cricket-rootfs-`)
  try {
    chmodSync(rootfs, 0o755)
    writeBusyboxRootfs(rootfs)
    writeFileIn(rootfs, "/www/index.html", page)
    const layout = writeLayout(directory)
    layout.addImage({
      name,
      layers: [layout.addLayer(rootfs)],
      config: { Env: ["PATH=/bin"], Cmd: ["sh"], WorkingDir: "/" },
      ...(platform !== undefined && { platform })
    })
  } finally {
    rmSync(rootfs, { recursive: true, force: true })
  }
}
