/** The real daemon, from its services to its recovery, over a simulated host; only the socket is left out. */
import { Effect, Layer, Option } from "effect"
import { defaultSettings, patchSettings } from "../../../src/config/document.ts"
import type { SettingsPatch } from "../../../src/config/Settings.ts"
import { Readiness } from "../../../src/cri/Readiness.ts"
import { services } from "../../../src/daemon.ts"
import { Files } from "../../../src/linux/Files.ts"
import { Locks } from "../../../src/linux/Locks.ts"
import { recover } from "../../../src/pod/recovery.ts"
import type { SeamServices } from "../../world/layers.ts"

export const makeDaemon = (patch: SettingsPatch = {}) => {
  const settings = patchSettings(defaultSettings, patch)
  const { root } = settings.crio
  const options = {
    environment: {},
    architecture: "x64",
    registriesConf: undefined,
    registriesConfDirectory: undefined
  }

  const start = Layer.effectDiscard(
    Effect.gen(function* () {
      const files = yield* Files
      yield* files.makeDirectory(`${root}/cricket`, { mode: 0o700, recursive: true })
      const lock = yield* (yield* Locks).tryAcquire(`${root}/cricket/daemon.lock`, "write")
      if (Option.isNone(lock)) return yield* Effect.fail(new Error("another daemon works on this root"))
      yield* recover
      yield* (yield* Readiness).markReady
    })
  )
  return (seam: Layer.Layer<SeamServices>) =>
    start.pipe(Layer.provideMerge(services(settings, options)), Layer.provideMerge(seam))
}
