/** Everything that the real crictl does with a daemon, in the order of a first day: node, images, pods, trouble. */
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { containersOfPods } from "./containers.ts"
import { eventsOfContainers } from "./events.ts"
import { errorsAsKubeletReadsThem } from "./errors.ts"
import { filtersOfClient } from "./filters.ts"
import { featuresOfContainers } from "./features.ts"
import { imagesOfRegistries } from "./images.ts"
import { networkOfPods } from "./network.ts"
import { nodeAndVersions } from "./node.ts"
import { imageVolumes } from "./imageVolumes.ts"
import { commandsOfClient } from "./commands.ts"
import { listsAsStreams } from "./lists.ts"
import { lifeOfPods } from "./pods.ts"
import { limitsOfContainers } from "./resources.ts"
import { restartOfTheDaemon } from "./restart.ts"
import { namesOfSandboxes } from "./sandboxNames.ts"
import { streamsOfContainers } from "./streams.ts"
import { statisticsOfPods } from "./stats.ts"
import { openSite, type Site } from "./support/Site.ts"
import { trustOfImages } from "./trust.ts"
import { userNamespaces } from "./userNamespaces.ts"

export const crictlSuite = (runtime: "crun" | "runc", network: number): void => {
  let opened: Site | undefined
  const site = (): Site => {
    if (opened === undefined) throw new Error("no daemon: see the failure of this file's set-up")
    return opened
  }

  describe(`crictl with ${runtime}`, () => {
    beforeAll(async () => {
      opened = await openSite(runtime, network)
    })
    afterAll(async () => {
      // Only when the last test has not done it: what failed has left pods.
      await opened?.crictl.run("rmp", "--force", "--all")
      await opened?.close()
    })

    nodeAndVersions(site)
    imagesOfRegistries(site)
    trustOfImages(site)
    lifeOfPods(site)
    namesOfSandboxes(site)
    listsAsStreams(site)
    containersOfPods(site)
    limitsOfContainers(site)
    eventsOfContainers(site)
    imageVolumes(site)
    featuresOfContainers(site)
    errorsAsKubeletReadsThem(site)
    userNamespaces(site, runtime)
    networkOfPods(site)
    streamsOfContainers(site, 29_000 + network)
    statisticsOfPods(site)
    restartOfTheDaemon(site)
    filtersOfClient(site)
    commandsOfClient(site)

    it("has used every subcommand, and what is built works", async () => {
      const { crictl } = site()
      const commands = (await crictl.ok("--help")).match(/(?<=^ {3})[a-z][a-z-]*(?=.* {2}[A-Z])/gm) ?? []
      assert.isAtLeast(commands.length, 30)
      assert.deepStrictEqual(
        commands.filter((command) => command !== "help" && !crictl.worked.has(command)),
        ["checkpoint"]
      )
    })

    it("leaves nothing on the host when its pods and its daemon have gone", async () => {
      const { crictl, close } = site()
      await crictl.ok("rmp", "--force", "--all")
      assert.deepStrictEqual(await crictl.json("pods", "-o", "json"), { items: [] })
      assert.deepStrictEqual(await crictl.json("ps", "-a", "-o", "json"), { containers: [] })
      opened = undefined
      assert.deepStrictEqual(await close(), [])
    })
  })
}
