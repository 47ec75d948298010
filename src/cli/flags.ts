/** Every flag of the command line: those of the option table and those of the program itself. */
import { allKeys } from "../config/spellings.ts"
import { boolean } from "../config/kind/scalar.ts"
import { defaultConfigDirectory, defaultConfigFile } from "../config/load.ts"

export interface Flag {
  /** Without dashes; a single letter is the short form. */
  readonly names: ReadonlyArray<string>
  readonly env?: string
  readonly doc: string
  /** A switch takes a value only after "=". */
  readonly takesValue: boolean
  readonly default?: string
  /** The option's path in TOML; absent for flags of the program itself. */
  readonly path?: ReadonlyArray<string>
  readonly built: boolean
}

/** Flags of the program itself, by the name under which their value is kept. */
export const programFlags = {
  config: {
    names: ["config", "c"],
    env: "CONTAINER_CONFIG",
    doc: "Configuration file.",
    takesValue: true,
    default: defaultConfigFile,
    built: true
  },
  configDirectory: {
    names: ["config-dir", "d"],
    env: "CONTAINER_CONFIG_DIR",
    doc: "Directory of drop-ins, *.conf in lexical order.",
    takesValue: true,
    default: defaultConfigDirectory,
    built: true
  },
  log: { names: ["log"], env: "CONTAINER_LOG", doc: "File to which the daemon logs.", takesValue: true, built: true },
  logFormat: {
    names: ["log-format"],
    env: "CONTAINER_LOG_FORMAT",
    doc: "Format of the log: text or json.",
    takesValue: true,
    default: "text",
    built: true
  },
  registriesConf: {
    names: ["registries-conf"],
    env: "CONTAINER_REGISTRIES_CONF",
    doc: "registries.conf to read instead of the system's.",
    takesValue: true,
    built: true
  },
  registriesConfDirectory: {
    names: ["registries-conf-dir"],
    env: "CONTAINER_REGISTRIES_CONF_DIR",
    doc: "Directory of drop-ins for registries.conf to read instead of the system's.",
    takesValue: true,
    built: true
  },
  address: { names: ["address"], doc: "Without effect, as in CRI-O.", takesValue: true, built: false },
  profile: { names: ["profile"], env: "CONTAINER_PROFILE", doc: "Serve profiles.", takesValue: false, built: false },
  profilePort: {
    names: ["profile-port"],
    env: "CONTAINER_PROFILE_PORT",
    doc: "Port for profiles.",
    takesValue: true,
    built: false
  },
  profileCpu: {
    names: ["profile-cpu"],
    env: "CONTAINER_PROFILE_CPU",
    doc: "Write a CPU profile to a file.",
    takesValue: true,
    built: false
  },
  profileMemory: {
    names: ["profile-mem"],
    env: "CONTAINER_PROFILE_MEM",
    doc: "Write a memory profile to a file.",
    takesValue: true,
    built: false
  },
  profileSocket: {
    names: ["enable-profile-unix-socket"],
    env: "ENABLE_PROFILE_UNIX_SOCKET",
    doc: "Serve profiles on the CRI socket.",
    takesValue: false,
    built: false
  },
  help: { names: ["help", "h"], doc: "Show this help.", takesValue: false, built: true },
  version: { names: ["version", "v"], doc: "Show the version.", takesValue: false, built: true }
} as const satisfies Readonly<Record<string, Flag>>

export type ProgramFlag = keyof typeof programFlags

/** Flags that set an option of the configuration. */
export const optionFlags: ReadonlyArray<Flag> = allKeys.flatMap(({ path, member }) =>
  member.flags === undefined
    ? []
    : [
        {
          names: member.flags,
          ...(member.env === undefined ? {} : { env: member.env }),
          doc: member.doc,
          takesValue: member.member === "collection" || member.kind !== boolean,
          ...(member.member === "option" ? { default: member.kind.encode(member.default) } : {}),
          path,
          built: member.built
        }
      ]
)

/** Names with their dashes. */
export const spellFlag = (name: string): string => (name.length === 1 ? `-${name}` : `--${name}`)
