import { assert, it } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { Cni } from "../../src/cni/Cni.ts"
import { podIps } from "../../src/cni/CniResult.ts"
import { attachment, makeWorld, podNetwork, type World } from "./fakePlugins.ts"

const start = (world: World) =>
  Effect.map(Layer.build(Cni.layer(world.options).pipe(Layer.provide(world.layer))), (context) =>
    Context.get(context, Cni)
  )

const records = (world: World) => {
  const directory = `${world.root}/lib/results`
  return existsSync(directory) ? readdirSync(directory) : []
}

/** Lets real file operations go on while the test clock stands still. */
const until = Effect.fnUntraced(function* (condition: () => boolean) {
  while (!condition()) yield* Effect.yieldNow
})

const setUp = Effect.gen(function* () {
  const world = yield* makeWorld
  world.configure("10.conflist", podNetwork)
  return { world, cni: yield* start(world) }
})

it.effect("ADD runs the chain, hands results on and records the attachment", () =>
  Effect.gen(function* () {
    const { world, cni } = yield* setUp
    const result = yield* cni.add(attachment())
    assert.deepStrictEqual(podIps(result), ["10.214.9.7"])
    assert.deepStrictEqual(world.commands(), ["ADD bridge", "ADD portmap"])
    const [bridge, portmap] = world.calls.filter((call) => call.command === "ADD")
    assert.deepStrictEqual(bridge?.env, {
      PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
      GOMAXPROCS: "1",
      CNI_COMMAND: "ADD",
      CNI_CONTAINERID: "f00dbabe",
      CNI_NETNS: "/run/netns/f00d",
      CNI_IFNAME: "eth0",
      CNI_ARGS:
        "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID=f00dbabe;K8S_POD_UID=0b6a-1",
      CNI_PATH: `/nonexistent:${world.root}/bin/`
    })
    assert.deepStrictEqual(bridge?.stdin, { ...podNetwork.plugins[0], name: "podnet", cniVersion: "1.0.0" })
    assert.strictEqual(portmap?.stdin.prevResult.touchedBy, "bridge")
    assert.deepStrictEqual(portmap?.stdin.runtimeConfig.portMappings.length, 2)
    assert.deepStrictEqual(records(world), ["podnet-f00dbabe-eth0"])
    const record = JSON.parse(readFileSync(`${world.root}/lib/results/podnet-f00dbabe-eth0`, "utf8"))
    assert.strictEqual(record.result.touchedBy, "portmap")
    assert.deepStrictEqual(JSON.parse(Buffer.from(record.config, "base64").toString()), podNetwork)
  })
)

it.effect("DEL goes backwards by the record, whatever the configuration has become, and forgets", () =>
  Effect.gen(function* () {
    const { world, cni } = yield* setUp
    yield* cni.add(attachment())
    world.configure("10.conflist", { ...podNetwork, name: "other", plugins: [{ type: "tuning" }] })
    const restarted = yield* start(world)
    world.pinned = false
    world.calls.length = 0
    yield* restarted.del(attachment({ portMappings: [] }))
    assert.deepStrictEqual(world.commands(), ["DEL portmap", "DEL bridge"])
    const [portmap, bridge] = world.calls.filter((call) => call.command === "DEL")
    assert.strictEqual(bridge?.env["CNI_NETNS"], "")
    assert.strictEqual(bridge?.stdin.prevResult.touchedBy, "portmap")
    assert.strictEqual(portmap?.stdin.runtimeConfig.portMappings.length, 2)
    assert.deepStrictEqual(records(world), [])
  })
)

it.effect("DEL without a record goes by the current configuration, as often as asked", () =>
  Effect.gen(function* () {
    const { world, cni } = yield* setUp
    yield* cni.del(attachment())
    yield* cni.del(attachment())
    assert.deepStrictEqual(world.commands(), ["DEL portmap", "DEL bridge", "DEL portmap", "DEL bridge"])
    assert.isUndefined(world.calls.at(-1)?.stdin.prevResult)
    assert.strictEqual(world.calls.at(-1)?.env["CNI_NETNS"], "/run/netns/f00d")
  })
)

it.effect("a record cut off by a power loss does not stand in the way", () =>
  Effect.gen(function* () {
    const { world, cni } = yield* setUp
    yield* cni.add(attachment())
    writeFileSync(`${world.root}/lib/results/podnet-f00dbabe-eth0`, "")
    world.calls.length = 0
    // Of a daemon that died between the two steps of its write.
    writeFileSync(`${world.root}/lib/results/.podnet-f00dbabe-eth0`, "{")
    yield* cni.del(attachment())
    assert.deepStrictEqual(world.commands(), ["DEL portmap", "DEL bridge"])
    assert.deepStrictEqual(records(world), [])
  })
)

it.effect("a namespace that cannot be looked at is not taken for gone: DEL fails and keeps the record", () =>
  Effect.gen(function* () {
    const { world, cni } = yield* setUp
    yield* cni.add(attachment())
    world.calls.length = 0
    world.pinned = "unknown"
    const error = yield* Effect.flip(cni.del(attachment()))
    assert.strictEqual(error.kind, "State")
    assert.include(error.message, "f00dbabe")
    assert.deepStrictEqual(world.commands(), [])
    assert.deepStrictEqual(records(world), ["podnet-f00dbabe-eth0"])
    world.pinned = true
    yield* cni.del(attachment())
    assert.deepStrictEqual(records(world), [])
  })
)

it.effect("DEL without record and configuration fails, so that it is tried again", () =>
  Effect.gen(function* () {
    const { world } = yield* setUp
    rmSync(`${world.root}/net.d/10.conflist`)
    const cni = yield* start(world)
    const error = yield* Effect.flip(cni.del(attachment()))
    assert.strictEqual(error.kind, "NotReady")
    assert.include(error.message, "f00dbabe")
  })
)

it.effect("an ADD that was refused before any plugin ran needs no DEL", () =>
  Effect.gen(function* () {
    const { world, cni } = yield* setUp
    const bad = attachment({ annotations: { "kubernetes.io/ingress-bandwidth": "fast" } })
    assert.strictEqual((yield* Effect.flip(cni.add(bad))).kind, "Invalid")
    yield* cni.del(bad)
    assert.deepStrictEqual(world.commands(), [])
  })
)

it.effect("a failing plugin undoes the chain and reports its own words", () =>
  Effect.gen(function* () {
    const { world, cni } = yield* setUp
    world.answer = (call) =>
      call.command === "ADD" && call.plugin === "portmap"
        ? Effect.succeed({
            code: 1,
            print: { cniVersion: "1.0.0", code: 11, msg: "no iptables", details: "try again" }
          })
        : undefined
    const error = yield* Effect.flip(cni.add(attachment()))
    assert.strictEqual(error.kind, "Plugin")
    assert.strictEqual(error.code, 11)
    assert.strictEqual(
      error.message,
      'CNI ADD of pod f00dbabe, network "podnet", plugin "portmap": no iptables; try again'
    )
    assert.deepStrictEqual(world.commands(), ["ADD bridge", "ADD portmap", "DEL portmap", "DEL bridge"])
    assert.strictEqual(world.calls.at(-1)?.stdin.prevResult.touchedBy, "bridge")
    assert.deepStrictEqual(records(world), [])
  })
)

it.effect("a plugin that dies or prints rubbish is named with what it left", () =>
  Effect.gen(function* () {
    const { world, cni } = yield* setUp
    const failing = (answer: object) => {
      world.answer = (call) => (call.command === "ADD" ? Effect.succeed(answer) : undefined)
      return Effect.map(Effect.flip(cni.add(attachment())), (error) => error.reason)
    }
    assert.include(yield* failing({ code: null, signal: 9 }), "killed by signal 9 without a message")
    assert.include(yield* failing({ code: 2, stderr: new TextEncoder().encode("panic: x") }), "exit code 2: panic: x")
    assert.include(yield* failing({ print: "hello" }), 'printed no result but "hello"')
    assert.include(yield* failing({ print: { ips: [{ address: "nowhere" }] } }), '"nowhere"')
    assert.deepStrictEqual(records(world), [])
  })
)

it.effect("DEL gives every plugin its turn, reports all failures and keeps the record", () =>
  Effect.gen(function* () {
    const { world, cni } = yield* setUp
    yield* cni.add(attachment())
    world.calls.length = 0
    world.answer = (call) =>
      call.command === "DEL"
        ? Effect.succeed({ code: 1, print: { code: 5, msg: `${call.plugin} is stuck` } })
        : undefined
    const error = yield* Effect.flip(cni.del(attachment()))
    assert.include(error.message, "portmap is stuck")
    assert.include(error.message, "bridge is stuck")
    assert.deepStrictEqual(world.commands(), ["DEL portmap", "DEL bridge"])
    assert.strictEqual(records(world).length, 1)
  })
)

it.effect("a hanging ADD is ended after five minutes and undone", () =>
  Effect.gen(function* () {
    const { world, cni } = yield* setUp
    world.answer = (call) => (call.command === "ADD" ? Effect.never : undefined)
    const fiber = yield* Effect.forkChild(Effect.flip(cni.add(attachment())), { startImmediately: true })
    yield* until(() => world.commands().includes("ADD bridge"))
    yield* TestClock.adjust("5 minutes")
    assert.strictEqual((yield* Fiber.join(fiber)).kind, "Timeout")
    assert.deepStrictEqual(world.commands(), ["ADD bridge", "DEL portmap", "DEL bridge"])
  })
)

it.effect("a clean-up that hangs is ended after a minute", () =>
  Effect.gen(function* () {
    const { world, cni } = yield* setUp
    world.answer = (call) =>
      call.command === "ADD" ? Effect.succeed({ code: 1 }) : call.command === "DEL" ? Effect.never : undefined
    const fiber = yield* Effect.forkChild(Effect.flip(cni.add(attachment())), { startImmediately: true })
    yield* until(() => world.commands().includes("DEL portmap"))
    yield* TestClock.adjust("1 minute")
    assert.strictEqual((yield* Fiber.join(fiber)).plugin, "bridge")
  })
)

it.effect("an interrupted ADD is undone before the interruption is over", () =>
  Effect.gen(function* () {
    const { world, cni } = yield* setUp
    world.answer = (call) => (call.command === "ADD" && call.plugin === "portmap" ? Effect.never : undefined)
    const fiber = yield* Effect.forkChild(cni.add(attachment()), { startImmediately: true })
    yield* until(() => world.commands().includes("ADD portmap"))
    yield* Fiber.interrupt(fiber)
    assert.deepStrictEqual(world.commands().slice(2), ["DEL portmap", "DEL bridge"])
  })
)

it.effect("commands for one pod never overlap, those of two pods do", () =>
  Effect.gen(function* () {
    const { world, cni } = yield* setUp
    const running = new Map<string, number>()
    const most = new Map<string, number>([["all", 0]])
    const count = (id: string, by: number) => {
      running.set(id, (running.get(id) ?? 0) + by)
      most.set(id, Math.max(most.get(id) ?? 0, running.get(id) ?? 0))
    }
    world.answer = (call) =>
      call.command !== "DEL"
        ? undefined
        : Effect.gen(function* () {
            const id = call.env["CNI_CONTAINERID"] ?? ""
            count(id, 1)
            count("all", 1)
            yield* Effect.sleep("1 second")
            count(id, -1)
            count("all", -1)
            return {}
          })
    const dels = [cni.del(attachment()), cni.del(attachment()), cni.del(attachment({ podId: "beef" }))]
    const fiber = yield* Effect.forkChild(Effect.all(dels, { concurrency: 3 }), { startImmediately: true })
    for (let second = 0; second < 5; second++) {
      yield* TestClock.adjust("1 second")
      // Real file operations end between two steps of the clock.
      yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 20)))
    }
    yield* Fiber.join(fiber)
    assert.deepStrictEqual([...most.entries()].sort(), [
      ["all", 2],
      ["beef", 1],
      ["f00dbabe", 1]
    ])
  })
)

it.effect("CHECK hands every plugin the result of ADD, and skips what is not recorded", () =>
  Effect.gen(function* () {
    const { world, cni } = yield* setUp
    yield* cni.check(attachment())
    yield* cni.add(attachment())
    yield* cni.check(attachment())
    assert.deepStrictEqual(world.commands().slice(2), ["CHECK bridge", "CHECK portmap"])
    assert.strictEqual(world.calls.at(-2)?.stdin.prevResult.touchedBy, "portmap")
  })
)

it.effect("GC speaks only to networks of 1.1 and takes down attachments without a pod", () =>
  Effect.gen(function* () {
    const { world, cni } = yield* setUp
    yield* cni.gc([])
    assert.deepStrictEqual(world.commands(), [])
    world.configure("10.conflist", { ...podNetwork, cniVersion: "1.1.0" })
    world.answer = (call) =>
      call.command === "VERSION" ? Effect.succeed({ print: { supportedVersions: ["1.0.0", "1.1.0"] } }) : undefined
    rmSync(`${world.root}/bin/bridge`)
    writeFileSync(`${world.root}/bin/bridge`, "new", { mode: 0o755 })
    rmSync(`${world.root}/bin/portmap`)
    writeFileSync(`${world.root}/bin/portmap`, "new", { mode: 0o755 })
    const modern = yield* start(world)
    yield* modern.add(attachment())
    yield* modern.add(attachment({ podId: "lost" }))
    world.calls.length = 0
    yield* modern.gc([attachment()])
    assert.deepStrictEqual(world.commands(), ["DEL portmap", "DEL bridge", "GC bridge", "GC portmap"])
    assert.strictEqual(world.calls[0]?.env["CNI_CONTAINERID"], "lost")
    assert.deepStrictEqual(world.calls.at(-1)?.stdin["cni.dev/valid-attachments"], [
      { containerID: "f00dbabe", ifname: "eth0" }
    ])
    assert.deepStrictEqual(records(world), ["podnet-f00dbabe-eth0"])

    // What is attached while the plugins collect would be none of the valid ones.
    const answer = world.answer
    const collected = yield* Deferred.make<void>()
    world.answer = (call) =>
      call.command === "GC" ? Effect.as(Deferred.await(collected), { print: "" }) : answer(call)
    const collecting = yield* Effect.forkChild(modern.gc([attachment()]), { startImmediately: true })
    const adding = yield* Effect.forkChild(modern.add(attachment({ podId: "late" })), { startImmediately: true })
    const begun = world.commands().length
    yield* until(() => world.commands().slice(begun).includes("GC bridge"))
    assert.isUndefined(adding.pollUnsafe())
    assert.notInclude(world.commands().slice(begun), "ADD bridge")
    yield* Deferred.succeed(collected, undefined)
    yield* Fiber.join(collecting)
    yield* Fiber.join(adding)
    assert.include(world.commands().slice(begun), "ADD bridge")
  })
)
