import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { chmodSync, rmSync, unlinkSync } from "node:fs"
import type { CniOptions } from "../../src/cni/Cni.ts"
import { NetworkConfig } from "../../src/cni/NetworkConfig.ts"
import { Plugins } from "../../src/cni/Plugins.ts"
import { makeWorld, podNetwork, type World } from "./fakePlugins.ts"

const load = (world: World, changes: Partial<CniOptions> = {}) => {
  const options = { ...world.options, ...changes }
  const layer = NetworkConfig.layer(options).pipe(Layer.provide(Plugins.layer(options)), Layer.provide(world.layer))
  return Effect.map(
    Layer.build(layer),
    (context) => context.mapUnsafe.get(NetworkConfig.key) as NetworkConfig["Service"]
  )
}

const named = (name: string) => ({ ...podNetwork, name })

it.effect("takes the first usable file in lexical order", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld
    world.configure("00-readme.txt", "not ours")
    world.configure("05-broken.conflist", "{")
    world.configure("10-b.conflist", named("b"))
    world.configure("20-a.conflist", named("a"))
    const { network, problem, passedOver } = yield* (yield* load(world)).current
    assert.strictEqual(network?.name, "b")
    assert.strictEqual(network?.version, "1.0.0")
    assert.strictEqual(problem, "")
    assert.strictEqual(passedOver.length, 1)
    assert.include(passedOver[0] ?? "", "05-broken.conflist: not a JSON object")
  })
)

it.effect("takes the network that is asked for by name", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld
    world.configure("10-b.conflist", named("b"))
    world.configure("20-a.conflist", named("a"))
    assert.strictEqual((yield* (yield* load(world, { defaultNetwork: "a" })).current).network?.name, "a")
    const status = yield* (yield* load(world, { defaultNetwork: "c" })).status
    assert.isFalse(status.ready)
    assert.strictEqual(status.reason, "NetworkPluginNotReady")
    assert.include(status.message, '"c" (cni_default_network)')
  })
)

it.effect("says which file is at fault", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld
    const message = Effect.gen(function* () {
      return (yield* (yield* load(world)).status).message
    })
    assert.include(yield* message, "has the network provider started?")
    world.configure("10.conflist", { ...podNetwork, plugins: [{ type: "../../bin/sh" }] })
    assert.include(yield* message, `${world.root}/net.d/10.conflist: plugins[0]: type "../../bin/sh" is a path`)
    world.configure("10.conflist", { ...podNetwork, plugins: [{ type: "bridge" }, { type: "cilium" }] })
    assert.include(yield* message, '10.conflist: plugin "cilium": no such executable in /nonexistent, ')
    world.configure("10.conflist", { ...podNetwork, cniVersion: "1.1.0" })
    assert.include(yield* message, 'plugin "bridge" does not support cniVersion 1.1.0; it supports 0.1.0, 0.3.1')
    rmSync(`${world.root}/net.d`, { recursive: true })
    assert.include(yield* message, "no usable CNI configuration file")
  })
)

it.effect("refuses a plugin that cannot be executed", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld
    world.configure("10.conflist", podNetwork)
    chmodSync(`${world.root}/bin/bridge`, 0o644)
    assert.include((yield* (yield* load(world)).status).message, 'plugin "bridge": no such executable')
  })
)

it.effect("settles on the best version that all plugins speak", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld
    world.configure("10.conflist", { ...podNetwork, cniVersion: "0.4.0", cniVersions: ["1.1.0", "1.0.0"] })
    assert.strictEqual((yield* (yield* load(world)).current).network?.version, "1.0.0")
  })
)

it.effect("probes each plugin once", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld
    world.configure("10.conflist", podNetwork)
    const config = yield* load(world)
    yield* config.rescan
    yield* config.rescan
    assert.deepStrictEqual(
      world.calls.map((call) => `${call.command} ${call.plugin}`),
      ["VERSION bridge", "VERSION portmap"]
    )
  })
)

it.effect("sees changes at the next scan and honours the grace period", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld
    world.configure("10.conflist", podNetwork)
    const config = yield* load(world, { statusGraceMs: 20_000 })
    assert.isTrue((yield* config.status).ready)
    unlinkSync(`${world.root}/net.d/10.conflist`)
    yield* config.rescan
    assert.isUndefined((yield* config.current).network)
    assert.isTrue((yield* config.status).ready)
    yield* TestClock.adjust("21 seconds")
    assert.isFalse((yield* config.status).ready)
    world.configure("20.conflist", named("later"))
    yield* config.rescan
    assert.strictEqual((yield* config.current).network?.name, "later")
    assert.isTrue((yield* config.status).ready)
  })
)

it.effect("the grace period ends although the host's time has been set back", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld
    world.configure("10.conflist", podNetwork)
    yield* TestClock.adjust("1 hour")
    const config = yield* load(world, { statusGraceMs: 20_000 })
    unlinkSync(`${world.root}/net.d/10.conflist`)
    yield* config.rescan
    yield* TestClock.setTime(0)
    assert.isTrue((yield* config.status).ready)
    yield* TestClock.adjust("21 seconds")
    assert.isFalse((yield* config.status).ready)
  })
)

it.live("notices a new file by itself", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld
    const config = yield* load(world)
    world.configure("10.conflist", podNetwork)
    for (let poll = 0; poll < 60 && !(yield* config.status).ready; poll++) yield* Effect.sleep("50 millis")
    assert.isTrue((yield* config.status).ready)
  })
)

it.effect("asks plugins of 1.1 for their status", () =>
  Effect.gen(function* () {
    const world = yield* makeWorld
    world.configure("10.conflist", { ...podNetwork, cniVersion: "1.1.0" })
    const status = { code: 50, msg: "the agent is not up" }
    world.answer = (call) =>
      call.command === "VERSION"
        ? Effect.succeed({ print: { supportedVersions: ["1.0.0", "1.1.0"] } })
        : Effect.succeed({ code: 1, print: status })
    const { ready, message } = yield* (yield* load(world)).status
    assert.isFalse(ready)
    assert.include(message, "the agent is not up")
    assert.deepStrictEqual(world.commands(), ["STATUS bridge"])
  })
)
