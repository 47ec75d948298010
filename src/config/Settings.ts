/** The configuration of a running daemon: every option with its final value, typed by the option table. */
import { Context, Layer } from "effect"
import { defaultSettings, patchSettings } from "./document.ts"
import type { SettingsPatch, SettingsShape } from "./table/tables.ts"

export type { SettingsPatch, SettingsShape } from "./table/tables.ts"

/**
 * All options by table, keys spelled as in TOML: `settings.crio.root`, `settings.api.listen`,
 * `settings.runtime.runtimes["crun"]?.runtime_path`. Durations are `Duration`s; sizes and `grpc_max_*` count bytes;
 * timeouts whose TOML type is integer count seconds. Values are validated; cross-references (the default handler
 * exists) hold.
 */
export class Settings extends Context.Service<Settings, SettingsShape>()("cricket/config/Settings") {
  /** Final settings, as `loadSettings` gives them. */
  static readonly layer = (settings: SettingsShape): Layer.Layer<Settings> => Layer.succeed(Settings, settings)

  /** The defaults with some options changed. */
  static readonly layerTest = (patch: SettingsPatch = {}): Layer.Layer<Settings> =>
    Layer.succeed(Settings, patchSettings(defaultSettings, patch))
}
