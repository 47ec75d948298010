/** Of the repository. */
export const top: string

/** The pinned Node. */
export const nodePath: () => string

/** Installs what is missing; `needs` "test" includes "run". */
export const ensure: (needs: "run" | "test") => void

/** A command and its arguments that run `command` in a mount namespace of its own, in which "/" is shared. */
export const inPrivateMounts: (command: ReadonlyArray<string>) => ReadonlyArray<string>
