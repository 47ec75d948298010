/** A registry that fails, stalls, or during whose answer the daemon is stopped or killed: nothing half-made stays. */
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { setTimeout as sleep } from "node:timers/promises"
import { makeBusyboxImage } from "../../../scripts/lib/busyboxImage.ts"
import { FaultTable } from "./FaultTable.ts"
import { FaultyRegistry, type PullFault } from "./FaultyRegistry.ts"
import { Site } from "./Site.ts"

const reference = "registry.example/team/app:v1"
const table = new FaultTable()
let site: Site
let registry: FaultyRegistry
const layout = mkdtempSync(`${tmpdir()}/cricket-pull-faults-`)

beforeAll(async () => {
  makeBusyboxImage({ directory: layout, page: "pulled\n", name: reference })
  registry = new FaultyRegistry(layout, () => site.daemon.process.kill("SIGKILL"))
  const port = await registry.listen()
  site = new Site(
    79,
    `[[registry]]\nlocation = "registry.example"\n[[registry.mirror]]\nlocation = "127.0.0.1:${port}"\ninsecure = true\n`
  )
  await site.start()
  await site.client.pullImage({ image: { image: reference } })
  await site.client.removeImage({ image: { image: reference } })
}, 60_000)

afterAll(async () => {
  registry?.close()
  await site?.end()
  rmSync(layout, { recursive: true, force: true })
  table.print()
}, 60_000)

const strike = async (fault: PullFault): Promise<string> => {
  registry.arm(fault)
  const abort = new AbortController()
  const call = site.client.pullImage({ image: { image: reference } }, { signal: abort.signal }).then(
    () => "succeeded",
    (error: unknown) => `failed: ${error instanceof Error ? error.message : String(error)}`
  )
  if (fault.action === "wait") {
    for (let tries = 0; tries < 400 && !registry.struck; tries++) await sleep(25)
    abort.abort()
  }
  const outcome = await call
  expect(registry.struck, "the fault struck").toBe(true)
  registry.disarm()
  return outcome
}

describe("PullImage", () => {
  for (const point of ["manifest", "config", "layer"] as const) {
    for (const moment of ["before", "after"] as const) {
      for (const action of ["fail", "wait", "kill"] as const) {
        const fault: PullFault = { point, moment, action }
        const sentence = { fail: "the registry breaks off", wait: "the client gives up", kill: "the daemon is killed" }
        it(`${point}, ${moment === "before" ? "at the request" : "half-way"}: ${sentence[action]}`, async () => {
          const before = site.state()
          const outcome = await strike(fault)
          table.add("PullImage", fault, outcome)
          expect(outcome).toContain("failed")
          if (action === "kill") {
            await site.daemon.stop("SIGKILL")
            await site.start()
          }
          expect((await site.client.listImages({})).images).toEqual([])
          expect(await site.left(before), "left behind").toEqual([])
          const { imageRef } = await site.client.pullImage({ image: { image: reference } })
          expect((await site.client.listImages({})).images.map(({ id }) => id)).toEqual([imageRef])
          await site.client.removeImage({ image: { image: reference } })
          expect(await site.left(before), "left behind after a good pull").toEqual([])
        }, 120_000)
      }
    }
  }
})
