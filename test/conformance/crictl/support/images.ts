/** Images for the real client, made from this machine's own busybox and nginx. */
import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname } from "node:path"
import { gunzipSync, gzipSync, zstdCompressSync } from "node:zlib"
import { makeBusyboxImage } from "../../../../scripts/lib/busyboxImage.ts"
import { tarOf } from "../../../integration/store/support.ts"

interface ImageLayer {
  readonly tar: Buffer
  readonly compression: "none" | "gzip" | "zstd"
}

interface Image {
  readonly layers: ReadonlyArray<ImageLayer>
  /** `config` of the image configuration. */
  readonly config: Readonly<Record<string, unknown>>
}

const mediaTypes = {
  none: "application/vnd.oci.image.layer.v1.tar",
  gzip: "application/vnd.oci.image.layer.v1.tar+gzip",
  zstd: "application/vnd.oci.image.layer.v1.tar+zstd"
}

const compress = {
  none: (tar: Buffer) => tar,
  gzip: (tar: Buffer) => gzipSync(tar, { level: 1 }),
  zstd: (tar: Buffer) => zstdCompressSync(tar)
}

const digestOf = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`

/** Writes an OCI layout; answers the digests of configuration and manifest. */
export const writeLayout = (directory: string, { layers, config }: Image) => {
  mkdirSync(`${directory}/blobs/sha256`, { recursive: true })
  const blob = (mediaType: string, bytes: Uint8Array) => {
    writeFileSync(`${directory}/blobs/sha256/${digestOf(bytes).slice(7)}`, bytes)
    return { mediaType, digest: digestOf(bytes), size: bytes.length }
  }
  const json = (value: unknown) => Buffer.from(JSON.stringify(value))
  const configuration = blob(
    "application/vnd.oci.image.config.v1+json",
    json({
      architecture: process.arch === "x64" ? "amd64" : process.arch,
      os: "linux",
      config,
      rootfs: { type: "layers", diff_ids: layers.map(({ tar }) => digestOf(tar)) }
    })
  )
  const manifest = blob(
    "application/vnd.oci.image.manifest.v1+json",
    json({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: configuration,
      layers: layers.map(({ tar, compression }) => blob(mediaTypes[compression], compress[compression](tar)))
    })
  )
  writeFileSync(`${directory}/index.json`, JSON.stringify({ schemaVersion: 2, manifests: [manifest] }))
  writeFileSync(`${directory}/oci-layout`, JSON.stringify({ imageLayoutVersion: "1.0.0" }))
  return { id: configuration.digest.slice(7), digest: manifest.digest }
}

/** The root file system that `npm start` runs. */
const busyboxTar = (directory: string, page: string): Buffer => {
  makeBusyboxImage({ directory, page, name: "busybox" })
  const read = (digest: string) => readFileSync(`${directory}/blobs/sha256/${digest.slice(7)}`)
  const index = JSON.parse(readFileSync(`${directory}/index.json`, "utf8"))
  const manifest = JSON.parse(read(index.manifests[0].digest).toString())
  return gunzipSync(read(manifest.layers[0].digest))
}

const put = (root: string, path: string, content: string, mode = 0o644) => {
  mkdirSync(dirname(`${root}/${path}`), { recursive: true })
  writeFileSync(`${root}/${path}`, content)
  chmodSync(`${root}/${path}`, mode)
}

const nginxConfiguration = `user www-data;
daemon off;
worker_processes 1;
error_log /dev/stderr;
pid /tmp/nginx.pid;
events { worker_connections 64; }
http {
  access_log /dev/stdout;
  client_body_temp_path /tmp/body;
  proxy_temp_path /tmp/proxy;
  fastcgi_temp_path /tmp/fastcgi;
  uwsgi_temp_path /tmp/uwsgi;
  scgi_temp_path /tmp/scgi;
  server {
    listen 8080;
    root /www;
    location /whoami { return 200 "$remote_addr\\n"; }
  }
}
`

const nginxTar = (): Buffer =>
  tarOf((root) => {
    const program = "/usr/sbin/nginx"
    const libraries = execFileSync("ldd", [program], { encoding: "utf8" }).matchAll(/(\/\S+) \(0x/g)
    for (const path of [program, ...Array.from(libraries, ([, library]) => library ?? "")]) {
      mkdirSync(dirname(`${root}${path}`), { recursive: true })
      copyFileSync(path, `${root}${path}`)
    }
    put(root, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33::/:/bin/false\n")
    put(root, "etc/group", "root:x:0:\nwww-data:x:33:\n")
    put(root, "etc/nginx/nginx.conf", nginxConfiguration)
    mkdirSync(`${root}/var/log/nginx`, { recursive: true })
    mkdirSync(`${root}/var/lib/nginx`, { recursive: true })
  })

/** Its users, and a base's file that is gone above it. */
const appTar = (): Buffer =>
  tarOf((root) => {
    const users = ["root:x:0:0:root:/root:/bin/sh", "app:x:1234:4321::/work:/bin/sh", "other:x:77:78::/:/bin/sh"]
    put(root, "etc/passwd", users.map((line) => `${line}\n`).join(""))
    put(root, "etc/group", "root:x:0:\napp:x:4321:\nextra:x:5555:app,other\nothers:x:78:\n")
    put(root, "entry.sh", '#!/bin/sh\necho "entry $*"\nexec "$@"\n', 0o755)
    put(root, "data/from-image", "seed\n")
    put(root, "www/.wh.index.html", "")
    mkdirSync(`${root}/work`)
    chmodSync(`${root}/work`, 0o777)
  })

/** A base of files, and over it links by which a stranger would leave the image, and something that is no file. */
const assetsTars = (): readonly [Buffer, Buffer] => [
  tarOf((root) => {
    put(root, "models/weights", "base\n")
    put(root, "models/tool", "#!/bin/sh\necho ran\n", 0o4755)
    put(root, "etc/secret", "of the image\n")
    put(root, "gone", "")
  }),
  tarOf((root) => {
    put(root, "models/weights", "tuned\n")
    put(root, ".wh.gone", "")
    execFileSync("sh", ["-c", "ln -s /etc absolute; ln -s ../../../../../etc up; ln -s loop loop; mkfifo fifo"], {
      cwd: root
    })
  })
]

/** With the base as many layers as image builders stack: each has a file of its own and one that the next replaces. */
const towerTars = (): ReadonlyArray<ImageLayer> =>
  Array.from({ length: 126 }, (_, index) => ({
    compression: "none",
    tar: tarOf((root) => {
      put(root, `tower/${index}`, "")
      put(root, "top", `${index}\n`)
    })
  }))

/** A pid 1 that reaps what is left to it, as pause does. */
const pauseTar = (): Buffer =>
  tarOf((root) => {
    put(root, "pause", "#!/bin/sh\ntrap 'exit 0' TERM INT\nwhile :; do sleep 3600 & wait $!; done\n", 0o755)
  })

export interface Layout {
  readonly directory: string
  /** Of the configuration, without "sha256:". */
  readonly id: string
  /** "sha256:…" of the manifest. */
  readonly digest: string
}

export type ImageName = "busybox" | "nginx" | "app" | "pause" | "assets" | "tower"

export const makeImages = (directory: string, page: string): Readonly<Record<ImageName, Layout>> => {
  const base: ImageLayer = { tar: busyboxTar(`${directory}/base`, page), compression: "gzip" }
  const path = ["PATH=/bin:/usr/sbin"]
  const layout = (name: ImageName, image: Image): Layout => ({
    directory: `${directory}/${name}`,
    ...writeLayout(`${directory}/${name}`, image)
  })
  return {
    busybox: layout("busybox", { layers: [base], config: { Env: path, Cmd: ["sh"] } }),
    nginx: layout("nginx", {
      layers: [base, { tar: nginxTar(), compression: "zstd" }],
      config: { Env: path, Cmd: ["nginx"], StopSignal: "SIGQUIT" }
    }),
    app: layout("app", {
      layers: [base, { tar: appTar(), compression: "none" }],
      config: {
        Env: [...path, "FROM_IMAGE=1", "REPLACED=by-image"],
        Entrypoint: ["/entry.sh"],
        Cmd: ["sleep", "1000"],
        WorkingDir: "/work",
        User: "app",
        Volumes: { "/data": {} },
        Labels: { maintainer: "nobody" },
        StopSignal: "SIGUSR1"
      }
    }),
    assets: layout("assets", {
      layers: assetsTars().map((tar) => ({ tar, compression: "gzip" as const })),
      config: {}
    }),
    tower: layout("tower", { layers: [base, ...towerTars()], config: { Env: path } }),
    pause: layout("pause", {
      layers: [base, { tar: pauseTar(), compression: "gzip" }],
      config: { Env: path, Entrypoint: ["/pause"] }
    })
  }
}
