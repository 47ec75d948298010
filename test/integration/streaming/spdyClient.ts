/** Builds the client of the streaming tests: client-go, as kubelet and kubectl use it. */
import { execFileSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { goPath } from "../../../scripts/lib/goTools.mjs"

/** Into the directory; its path. */
export const buildSpdyClient = (directory: string): string => {
  const client = `${directory}/spdy-client`
  const source = fileURLToPath(new URL("spdyClient/main.go", import.meta.url))
  // What it needs is pinned with the conformance tools.
  const cwd = fileURLToPath(new URL("../../conformance/tools", import.meta.url))
  execFileSync(goPath(), ["build", "-o", client, source], { cwd })
  return client
}
