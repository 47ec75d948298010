/** A path of the target's as this process can open it. */
import { Option } from "effect"
import type { ProcessIdentity } from "../../linux/Processes.ts"

/** An absolute link on the way would lead back to this process's own root: the one that every host has is followed here. */
const followed = (path: string) => path.replace(/^\/var\/run(?=\/|$)/, "/run")

/** Another mount namespace is seen through the root of a process in it (proc_pid_root(5)). */
export const makePaths =
  (inside: Option.Option<ProcessIdentity>) =>
  (path: string): string =>
    Option.match(inside, { onNone: () => path, onSome: ({ pid }) => `/proc/${pid}/root${followed(path)}` })
