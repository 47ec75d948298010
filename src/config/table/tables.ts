/** The whole option table: what every reader, printer and checker of configuration is generated from. */
import { api } from "./api.ts"
import { crio } from "./crio.ts"
import { checkpointRestore, image } from "./image.ts"
import { network } from "./network.ts"
import { nri } from "./nri.ts"
import { type SectionPatch, type SectionValue, section } from "./option.ts"
import { runtime } from "./runtime.ts"
import { metrics, stats, tracing } from "./telemetry.ts"

/** The tables below [crio], in the order in which they are printed. */
const subtables = {
  api,
  runtime,
  checkpoint_restore: checkpointRestore,
  image,
  network,
  metrics,
  tracing,
  stats,
  nri
} as const

/** [crio] with its tables inside, as a document nests them. */
export const root = section(crio.doc, { ...crio.members, ...subtables })

type Tables = { readonly crio: typeof crio.members } & {
  readonly [K in keyof typeof subtables]: (typeof subtables)[K]["members"]
}

/** All options by table: `settings.crio.root`, `settings.api.listen`, `settings.runtime.runtimes["crun"]`. */
export type SettingsShape = { readonly [K in keyof Tables]: SectionValue<Tables[K]> }

/** Some options by table. */
export type SettingsPatch = { readonly [K in keyof Tables]?: SectionPatch<Tables[K]> }
