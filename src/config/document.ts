/** Settings as the nested document that TOML writes ([crio] with its tables inside), and back. */
import type { SectionPatch, SectionValue } from "./table/option.ts"
import { root, type SettingsPatch, type SettingsShape } from "./table/tables.ts"
import { defaultsOf, overlay, type Values } from "./values.ts"

type Members = typeof root.members
export type Document = SectionValue<Members>

const toSettings = (document: Document): SettingsShape => {
  const { api, runtime, checkpoint_restore, image, network, metrics, tracing, stats, nri, ...crio } = document
  return { crio, api, runtime, checkpoint_restore, image, network, metrics, tracing, stats, nri }
}

export const toDocument = ({ crio, ...tables }: SettingsShape): Document => ({ ...crio, ...tables })

const toDocumentPatch = ({ crio = {}, ...tables }: SettingsPatch): SectionPatch<Members> => ({ ...crio, ...tables })

/** What holds where nothing is configured. */
export const defaultDocument: Document = defaultsOf(root.members)

export const defaultSettings: SettingsShape = toSettings(defaultDocument)

/** Settings with some options changed; a handler in the patch replaces the one of its name. */
export const patchSettings = (settings: SettingsShape, patch: SettingsPatch): SettingsShape =>
  toSettings(overlay(root.members, toDocument(settings), toDocumentPatch(patch)))

/** The defaults with the values of decoded sources laid over them, later ones on top. */
export const settingsFrom = (layers: ReadonlyArray<Values>): SettingsShape =>
  toSettings(
    layers.reduce<Document>(
      (document, values) => overlay(root.members, document, values as SectionPatch<Members>),
      defaultDocument
    )
  )
