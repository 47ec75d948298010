/**
 * Runs critest against a daemon of its own, in the namespaces that `critest` in suite.ts makes: as process 1's child
 * there, with a loopback and nothing else. Reads `<directory>/run.json`, writes `<directory>/report.json`.
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs"
import type { CriClient } from "../../../scripts/lib/criClient.ts"
import { preparePlace, startDaemon } from "../../../scripts/lib/daemon.ts"
import { startRegistry } from "../../integration/image/registry.ts"
import type { RunRequest } from "./suite.ts"

const port = 25_731

/** The upstream registries, each as a part of the one on loopback. */
const registries = ["registry.k8s.io", "k8s.gcr.io", "gcr.io/k8s-staging-cri-tools"]
  .map((name) => `[[registry]]\nprefix = "${name}"\nlocation = "127.0.0.1:${port}/${name}"\ninsecure = true\n`)
  .join("\n")

/** No metrics are the default. */
const configuration = '[crio.stats]\nincluded_pod_metrics = ["all"]\n'

/** What specs that failed left; nothing of the pods may outlive the namespaces. */
const removePods = async (client: CriClient): Promise<number> => {
  const { items } = await client.listPodSandbox({})
  for (const { id } of items) {
    await client.stopPodSandbox({ podSandboxId: id })
    await client.removePodSandbox({ podSandboxId: id })
  }
  return items.length
}

const main = async (directory: string): Promise<void> => {
  const request = JSON.parse(readFileSync(`${directory}/run.json`, "utf8")) as RunRequest
  writeFileSync("/proc/sys/net/ipv4/ip_forward", "1")
  const registry = await startRegistry({ directory: `${directory}/registry`, port })
  const place = preparePlace({ directory, runtime: request.runtime, network: 79, registries, configuration })
  const daemon = await startDaemon(place)
  try {
    for (const name of request.images) await registry.push(`${request.layout}:${name}`, name)
    const output = openSync(`${directory}/critest.log`, "w")
    const critest = spawn(
      request.critest,
      [
        `--runtime-endpoint=unix://${place.socket}`,
        `--image-endpoint=unix://${place.socket}`,
        "--ginkgo.timeout=20m",
        "--ginkgo.no-color",
        `--ginkgo.json-report=${directory}/report.json`,
        ...request.focus.map((pattern) => `--ginkgo.focus=${pattern}`),
        ...request.parameters
      ],
      { cwd: directory, stdio: ["ignore", output, output] }
    )
    await once(critest, "exit")
    closeSync(output)
    writeFileSync(`${directory}/leftPods`, String(await removePods(daemon.client)))
  } finally {
    await daemon.stop()
    await registry.stop()
  }
}

await main(process.argv[2] ?? "")
