/** Networks that forward no host ports: portmap runs as if the configuration named it. */
import { assert, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { rmSync } from "node:fs"
import { Cni } from "../../src/cni/Cni.ts"
import { attachment, makeWorld, type World } from "./fakePlugins.ts"

const bare = { cniVersion: "1.0.0", name: "podnet", plugins: [{ type: "bridge", bridge: "ckt-t0" }] }

const start = (world: World, mapHostPorts = true) =>
  Effect.map(Layer.build(Cni.layer({ ...world.options, mapHostPorts }).pipe(Layer.provide(world.layer))), (context) =>
    Context.get(context, Cni)
  )

const setUp = Effect.fnUntraced(function* (configuration: object, mapHostPorts = true) {
  const world = yield* makeWorld
  world.configure("10.conflist", configuration)
  return { world, cni: yield* start(world, mapHostPorts) }
})

const callsOf = (world: World, plugin: string) =>
  world.calls.filter((call) => call.plugin === plugin && call.command !== "VERSION")

it.effect("portmap follows the configured plugins, at ADD and, after a restart, before them at DEL", () =>
  Effect.gen(function* () {
    const { world, cni } = yield* setUp(bare)
    yield* cni.add(attachment())
    assert.deepStrictEqual(world.commands(), ["ADD bridge", "ADD portmap"])
    const [added] = callsOf(world, "portmap")
    assert.strictEqual(added?.stdin.prevResult.touchedBy, "bridge")
    assert.deepStrictEqual(
      [added?.stdin.type, added?.stdin.name, added?.stdin.cniVersion, added?.stdin.snat],
      ["portmap", "podnet", "1.0.0", true]
    )
    assert.deepStrictEqual(added?.stdin.runtimeConfig.portMappings, [
      { hostPort: 28080, containerPort: 80, protocol: "tcp" },
      { hostPort: 28053, containerPort: 53, protocol: "udp", hostIP: "127.0.0.9" }
    ])
    world.calls.length = 0
    // Whatever the option says by then.
    const restarted = yield* start(world, false)
    yield* restarted.del(attachment())
    assert.deepStrictEqual(world.commands(), ["DEL portmap", "DEL bridge"])
    assert.strictEqual(callsOf(world, "portmap")[0]?.stdin.runtimeConfig.portMappings.length, 2)
  })
)

it.effect("nothing is added where no port is asked for, a plugin takes the ports, or the option says so", () =>
  Effect.gen(function* () {
    const none = yield* setUp(bare)
    yield* none.cni.add(attachment({ portMappings: [{ hostPort: 0, containerPort: 1, protocol: "tcp", hostIp: "" }] }))
    assert.deepStrictEqual(none.world.commands(), ["ADD bridge"])

    const own = yield* setUp({
      ...bare,
      plugins: [...bare.plugins, { type: "tuning", capabilities: { portMappings: true } }]
    })
    yield* own.cni.add(attachment())
    assert.deepStrictEqual(own.world.commands(), ["ADD bridge", "ADD tuning"])
    yield* own.cni.del(attachment())
    assert.deepStrictEqual(own.world.commands().slice(2), ["DEL tuning", "DEL bridge"])

    const left = yield* setUp(bare, false)
    yield* left.cni.add(attachment())
    assert.deepStrictEqual(left.world.commands(), ["ADD bridge"])
  })
)

it.effect("without portmap on the node nothing is attached, the message says what to do, and DEL succeeds", () =>
  Effect.gen(function* () {
    const { world, cni } = yield* setUp(bare)
    rmSync(`${world.root}/bin/portmap`)
    const error = yield* Effect.flip(cni.add(attachment()))
    assert.match(error.message, /host ports.*podnet.*portmap.*no such executable.*disable_hostport_mapping/)
    assert.deepStrictEqual(world.commands(), [])
    yield* cni.del(attachment())
    assert.deepStrictEqual(world.commands(), ["DEL bridge"])
  })
)

it.effect("a portmap of CNI 1.0.0 follows plugins of 1.1.0, an older one does not", () =>
  Effect.gen(function* () {
    const { world } = yield* setUp({ ...bare, cniVersion: "1.1.0" })
    let spoken = ["0.4.0", "1.0.0"]
    world.answer = (call) =>
      call.command === "VERSION"
        ? Effect.succeed({ print: { supportedVersions: call.plugin === "portmap" ? spoken : ["1.0.0", "1.1.0"] } })
        : undefined
    const current = yield* start(world)
    yield* current.add(attachment())
    const [added] = callsOf(world, "portmap")
    assert.deepStrictEqual([added?.stdin.cniVersion, added?.stdin.prevResult.cniVersion], ["1.0.0", "1.0.0"])
    const restarted = yield* start(world)
    world.calls.length = 0
    yield* restarted.del(attachment())
    assert.deepStrictEqual(world.commands(), ["DEL portmap", "DEL bridge"])
    assert.strictEqual(callsOf(world, "bridge")[0]?.stdin.prevResult.cniVersion, "1.1.0")

    spoken = ["0.4.0"]
    const error = yield* Effect.flip((yield* start(world)).add(attachment()))
    assert.include(error.message, "does not support cniVersion 1.1.0")
  })
)
