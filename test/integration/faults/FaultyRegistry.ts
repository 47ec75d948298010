/** A registry of one image on loopback that can break off, wait or have the daemon killed while it answers. */
import { createServer, type Server, type ServerResponse } from "node:http"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import type { AddressInfo } from "node:net"
import type { Action, Moment } from "./wrappers.ts"

export interface PullFault {
  readonly point: "manifest" | "config" | "layer"
  readonly moment: Moment
  readonly action: Action
}

export class FaultyRegistry {
  private armed: PullFault | undefined
  private readonly server: Server
  private readonly layout: string
  private readonly killDaemon: () => void
  private readonly waiting: Array<() => void> = []
  struck = false

  constructor(layout: string, killDaemon: () => void) {
    this.layout = layout
    this.killDaemon = killDaemon
    this.server = createServer((request, response) => this.answer(request.url ?? "", response))
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.server.listen(0, "127.0.0.1", resolve))
    return (this.server.address() as AddressInfo).port
  }

  arm(fault: PullFault): void {
    this.struck = false
    this.armed = fault
  }

  disarm(): void {
    this.armed = undefined
    for (const go of this.waiting.splice(0)) go()
  }

  close(): void {
    this.disarm()
    this.server.closeAllConnections()
    this.server.close()
  }

  private answer(url: string, response: ServerResponse): void {
    if (url === "/v2/") return void response.end("{}")
    const digest = /sha256:([0-9a-f]{64})$/.exec(url)?.[1] ?? this.manifestDigest()
    const path = `${this.layout}/blobs/sha256/${digest}`
    if (!existsSync(path)) return void response.writeHead(404).end("{}")
    const bytes = readFileSync(path)
    const point = digest === this.manifestDigest() ? "manifest" : bytes.length < 4096 ? "config" : "layer"
    const type = point === "manifest" ? "application/vnd.oci.image.manifest.v1+json" : "application/octet-stream"
    const headers = {
      "content-type": type,
      "content-length": bytes.length,
      "docker-content-digest": `sha256:${digest}`
    }
    const fault = this.armed
    if (fault === undefined || fault.point !== point) return void response.writeHead(200, headers).end(bytes)
    this.struck = true
    // "after" is half-way: headers and half of the body are out, so the daemon is in the middle of its work.
    if (fault.moment === "after") {
      response.writeHead(200, headers)
      response.write(bytes.subarray(0, bytes.length >> 1))
    }
    const rest = () => {
      if (fault.moment === "before") response.writeHead(200, headers).end(bytes)
      else response.end(bytes.subarray(bytes.length >> 1))
    }
    switch (fault.action) {
      case "fail":
        return fault.moment === "before" ? void response.writeHead(500).end("{}") : void response.destroy()
      case "wait":
        return void this.waiting.push(rest)
      default:
        this.armed = undefined
        // The first half has to have arrived.
        setTimeout(() => this.killDaemon(), 50)
    }
  }

  private manifestDigest(): string {
    const index = JSON.parse(readFileSync(`${this.layout}/index.json`, "utf8")) as {
      readonly manifests: ReadonlyArray<{ readonly digest: string }>
    }
    return index.manifests[0]?.digest.slice("sha256:".length) ?? readdirSync(this.layout)[0] ?? ""
  }
}
