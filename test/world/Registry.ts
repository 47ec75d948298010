/** Simulated registries by the distribution specification, reached through the daemon's HTTP client. */
import type { SimulatedImage } from "./images.ts"

export interface RegistryAuth {
  readonly kind: "basic" | "bearer"
  readonly user: string
  readonly password: string
}

export interface Request {
  readonly method: string
  readonly url: URL
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
}

const answer = (status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): Answer => {
  const bytes = body instanceof Uint8Array ? body : Buffer.from(JSON.stringify(body))
  return { status, body: bytes, headers: { "content-length": String(bytes.length), ...headers } }
}

const problem = (status: number, code: string, headers: Readonly<Record<string, string>> = {}): Answer =>
  answer(status, { errors: [{ code, message: code.toLowerCase().replaceAll("_", " ") }] }, headers)

const basic = (auth: RegistryAuth): string => `Basic ${Buffer.from(`${auth.user}:${auth.password}`).toString("base64")}`

/** One registry host; `handle` is pure but for what was pushed to it. */
export class Registry {
  readonly host: string
  private readonly auth: RegistryAuth | undefined
  private readonly images = new Map<string, SimulatedImage>()
  private readonly repositories = new Map<string, Map<string, Uint8Array>>()
  constructor(host: string, auth?: RegistryAuth) {
    this.host = host
    this.auth = auth
  }

  push(repository: string, tag: string, image: SimulatedImage): void {
    this.images.set(`${repository}:${tag}`, image)
    this.images.set(`${repository}:${image.manifestDigest}`, image)
    const blobs = this.repositories.get(repository) ?? new Map<string, Uint8Array>()
    for (const [digest, bytes] of image.blobs) blobs.set(digest, bytes)
    this.repositories.set(repository, blobs)
  }

  handle(request: Request): Answer {
    const { pathname } = request.url
    if (pathname === "/token") return this.token(request)
    const refusal = this.authorize(request)
    if (refusal !== undefined) return refusal
    if (pathname === "/v2/" || pathname === "/v2") return answer(200, {})
    const match = /^\/v2\/(.+)\/(manifests|blobs)\/([^/]+)$/.exec(pathname)
    if (match === null) return problem(404, "NAME_UNKNOWN")
    const [, repository = "", kind, reference = ""] = match
    return kind === "manifests" ? this.manifest(repository, reference) : this.blob(repository, reference, request)
  }

  private manifest(repository: string, reference: string): Answer {
    const image = this.images.get(`${repository}:${reference}`)
    if (image === undefined) return problem(404, "MANIFEST_UNKNOWN")
    return answer(200, image.manifest, {
      "content-type": image.mediaType,
      "docker-content-digest": image.manifestDigest
    })
  }

  private blob(repository: string, digest: string, request: Request): Answer {
    const bytes = this.repositories.get(repository)?.get(digest)
    if (bytes === undefined) return problem(404, "BLOB_UNKNOWN")
    const from = Number(/^bytes=(\d+)-/.exec(request.headers["range"] ?? "")?.[1] ?? "0")
    if (from === 0) return answer(200, bytes, { "content-type": "application/octet-stream" })
    const range = `bytes ${from}-${bytes.length - 1}/${bytes.length}`
    return answer(206, bytes.subarray(from), { "content-range": range })
  }

  private authorize(request: Request): Answer | undefined {
    const { auth } = this
    if (auth === undefined) return undefined
    const given = request.headers["authorization"]
    const expected = auth.kind === "basic" ? basic(auth) : "Bearer simulated-token"
    if (given === expected) return undefined
    const challenge =
      auth.kind === "basic"
        ? `Basic realm="${this.host}"`
        : `Bearer realm="${request.url.origin}/token",service="${this.host}",scope="repository:any:pull"`
    return problem(401, "UNAUTHORIZED", { "www-authenticate": challenge })
  }

  private token(request: Request): Answer {
    const { auth } = this
    if (auth === undefined || request.headers["authorization"] !== basic(auth)) return problem(401, "UNAUTHORIZED")
    return answer(200, { token: "simulated-token", expires_in: 300 }, { "content-type": "application/json" })
  }
}
