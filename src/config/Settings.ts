/** The configuration of a running daemon: every option with its final value, typed by the option table. */
import { Context, Layer } from "effect"
import { type SettingsPatch, type SettingsShape, root } from "./table/tables.ts"
import type { SectionPatch, SectionValue } from "./table/option.ts"
import { defaultsOf, overlay } from "./values.ts"

type Document = SectionValue<typeof root.members>

const toSettings = (document: Document): SettingsShape => {
  const { api, runtime, checkpoint_restore, image, network, metrics, tracing, stats, nri, ...crio } = document
  return { crio, api, runtime, checkpoint_restore, image, network, metrics, tracing, stats, nri }
}

const toDocument = ({ crio, ...tables }: SettingsShape): Document => ({ ...crio, ...tables })

const toDocumentPatch = ({ crio = {}, ...tables }: SettingsPatch): SectionPatch<typeof root.members> => ({
  ...crio,
  ...tables
})

/** What holds where nothing is configured. */
export const defaultSettings: SettingsShape = toSettings(defaultsOf(root.members))

/** Settings with some options changed; a handler in the patch replaces the built-in one of its name. */
export const patchSettings = (settings: SettingsShape, patch: SettingsPatch): SettingsShape =>
  toSettings(overlay(root.members, toDocument(settings), toDocumentPatch(patch)))

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
