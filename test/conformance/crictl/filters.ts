/** What crictl selects: pods, containers and images by filters and by the beginnings of ids, and how it shows them. */
import { assert, describe, it } from "vitest"
import { names, type Site } from "./support/Site.ts"
import { linesOf, templateOf, twoPods } from "./support/twoPods.ts"

const nobody = "no-such-id"

export const filtersOfClient = (site: () => Site) =>
  describe("filters", () => {
    const pods = twoPods(site)
    const lines = (...parameters: ReadonlyArray<string>) => linesOf(site(), ...parameters)
    const template = (command: string, expression: string, ...parameters: ReadonlyArray<string>) =>
      templateOf(site(), command, expression, ...parameters)

    it("pods, by each of its filters", async () => {
      const { front, back } = pods()
      const listed = (...options: ReadonlyArray<string>) => lines("pods", "-q", ...options)
      assert.deepStrictEqual(await listed(), [back, front])
      assert.deepStrictEqual(await listed("--id", front.slice(0, 10)), [front])
      assert.deepStrictEqual(await listed("--id", nobody), [])
      assert.deepStrictEqual(await listed("--name", "^fr"), [front])
      assert.deepStrictEqual(await listed("--namespace", "where"), [back])
      assert.deepStrictEqual(await listed("--label", "app=back"), [back])
      assert.deepStrictEqual(await listed("--state", "notready"), [])
      assert.deepStrictEqual(await listed("--latest"), [back])
      assert.deepStrictEqual(await listed("--last", "1", "--name", "front"), [front])
      assert.match(await site().crictl.ok("pods", "--no-trunc"), new RegExp(`^${back} .*Ready +back +elsewhere`, "m"))
      assert.match(await site().crictl.ok("pods", "-v", "--id", front), /^Namespace: default$[^]*^\tapp -> front$/m)
      assert.match(await site().crictl.ok("pods", "-o", "yaml", "--id", front), new RegExp(`^ +id: ${front}$`, "m"))
    })

    it("ps, by each of its filters", async () => {
      const { front, back, web, worker } = pods()
      const ps = (...options: ReadonlyArray<string>) => lines("ps", "-q", ...options)
      assert.deepStrictEqual(await ps(), [worker, web])
      assert.deepStrictEqual(await ps("--id", web.slice(0, 10)), [web])
      assert.deepStrictEqual(await ps("--id", nobody), [])
      assert.deepStrictEqual(await ps("--pod", back.slice(0, 10)), [worker])
      assert.deepStrictEqual(await ps("--pod", nobody), [])
      assert.deepStrictEqual(await ps("--name", "^we"), [web])
      assert.deepStrictEqual(await ps("--namespace", "elsewhere"), [worker])
      assert.deepStrictEqual(await ps("--label", "tier=web"), [web])
      assert.deepStrictEqual(await ps("--image", names.app), [worker])
      assert.deepStrictEqual(await ps("--image", site().images.busybox.id), [web])
      assert.deepStrictEqual(await ps("--state", "exited"), [])
      assert.deepStrictEqual(await ps("--latest"), [worker])
      assert.deepStrictEqual(await ps("--last", "2"), [worker, web])
      const table = await site().crictl.ok("ps", "--resolve-image-path")
      assert.match(
        table,
        new RegExp(`^${web.slice(0, 13)} .*Running +web +0 +${front.slice(0, 13)} +front +default`, "m")
      )
      assert.match(await site().crictl.ok("ps", "-v"), new RegExp(`^ID: ${worker}$`, "m"))
    })

    it("images, by each of its filters", async () => {
      const { crictl, images } = site()
      const found = (...options: ReadonlyArray<string>) => lines("images", "-q", ...options)
      assert.deepStrictEqual(await found(names.app), [images.app.id])
      assert.deepStrictEqual(await found(images.app.id.slice(0, 12)), [images.app.id])
      assert.deepStrictEqual(await found("quay.io/example/none:1"), [])
      assert.include(await found("--filter", "dangling=false"), images.nginx.id)
      assert.deepStrictEqual(await found("--filter", "dangling=true"), [])
      assert.deepStrictEqual(await found("--filter", "reference=.*/nginx$"), [images.nginx.id])
      assert.match(
        await crictl.ok("images", "--digests", names.app),
        new RegExp(`${images.app.digest.slice(7, 20)} +${images.app.id.slice(0, 13)}`)
      )
      assert.match(await crictl.ok("images", "--pinned"), /^docker\.io\/library\/nginx .* true$/m)
      assert.match(await crictl.ok("images", "-v", names.app), /^Username: app$/m)
      assert.strictEqual(await template("inspecti", "{{.status.id}}", names.app), images.app.id)
      assert.strictEqual(await template("inspecti", "{{.status.id}}", "--name", names.app), images.app.id)
      assert.match(await crictl.ok("inspecti", "-o", "table", names.nginx), /^Tag: docker\.io\/library\/nginx:1$/m)
    })

    it("inspect and inspectp, by filters and beginnings, in each format", async () => {
      const { front, back, web, worker } = pods()
      const { crictl } = site()
      assert.strictEqual(await template("inspect", "{{.status.state}}", web.slice(0, 10)), "CONTAINER_RUNNING")
      assert.strictEqual(await template("inspect", "{{.status.id}}", "--name", "worker", "--pod", back), worker)
      assert.strictEqual(await template("inspect", "{{.status.id}}", "--label", "tier=web"), web)
      assert.match(await crictl.ok("inspect", "-o", "yaml", "-q", web), new RegExp(`^  id: ${web}$`, "m"))
      assert.match(await crictl.ok("inspect", "-o", "table", web), /^State: CONTAINER_RUNNING$/m)
      const both = await crictl.json("inspect", web, worker)
      assert.deepStrictEqual(
        both.map(({ status }: { status: { id: string } }) => status.id),
        [web, worker]
      )
      assert.strictEqual(await template("inspectp", "{{.status.id}}", "--name", "back"), back)
      assert.strictEqual(await template("inspectp", "{{.status.metadata.name}}", "--namespace", "elsewhere"), "back")
      assert.match(await crictl.ok("inspectp", "-o", "table", front), /^IP Addresses: 10\.213\.\d+\.\d+$/m)
      assert.notInclude(await crictl.ok("inspectp", "-q", front), '"info"')
    })

    it("a beginning that several ids have is refused, and says so", async () => {
      const { front, web, worker, frontRequest } = pods()
      const { crictl, container } = site()
      // Of more ids than there are hexadecimal digits, two begin with the same one.
      const ids = [web, worker]
      for (let index = 0; ids.length < 17; index++) {
        ids.push(await crictl.create(front, container(`many-${index}`, "true"), frontRequest))
      }
      const firsts = ids.map((id) => id.slice(0, 1))
      const shared = firsts.find((first, index) => firsts.indexOf(first) !== index) ?? ""
      for (const command of ["inspect", "start", "stop", "exec"]) {
        const options = command === "exec" ? ["-s", shared, "true"] : [shared]
        assert.match(
          await crictl.fails(command, ...options),
          new RegExp(`code = InvalidArgument.*${shared}.*is ambiguous`),
          command
        )
      }
      assert.strictEqual(await crictl.ok("ps", "-q", "--pod", front), web)
      await crictl.ok("rm", ...ids.slice(2))
    })

    it("exec in all containers that a filter selects, one after the other and together", async () => {
      const { back, web } = pods()
      const { crictl } = site()
      const hosts = async (...options: ReadonlyArray<string>) =>
        (await lines("exec", ...options, "hostname")).filter((line) => /^(front|back)$/.test(line)).toSorted()
      assert.deepStrictEqual(await hosts("--state", "running"), ["back", "front"])
      assert.deepStrictEqual(await hosts("--state", "running", "--parallel"), ["back", "front"])
      assert.deepStrictEqual(await hosts("-s", "--state", "running", "--parallel"), ["back", "front"])
      assert.deepStrictEqual(await hosts("--pod", back), ["back"])
      assert.deepStrictEqual(await hosts("--image", names.app), ["back"])
      assert.deepStrictEqual(await hosts("--label", "tier=web"), ["front"])
      assert.deepStrictEqual(await hosts("--latest"), ["back"])
      assert.deepStrictEqual(await hosts("-s", web.slice(0, 10)), ["front"])
      assert.match(await crictl.fails("exec", "-s", "--name", "web", "sh", "-c", "exit 9"), /exited with 9/)
      await crictl.ok("exec", "-s", "--ignore-errors", "--state", "running", "false")
    })
  })
