/** What crun and runc read and write: the bundle's configuration and their own state. */
import { Errno } from "../Errno.ts"
import type { Resources } from "./ociCgroups.ts"

export interface OciProcess {
  readonly args: ReadonlyArray<string>
  readonly env?: ReadonlyArray<string>
  readonly cwd: string
  readonly terminal?: boolean
  readonly consoleSize?: { readonly height: number; readonly width: number }
}

export interface OciConfig {
  readonly process: OciProcess
  readonly root: { readonly path: string }
  readonly hostname?: string
  readonly mounts?: ReadonlyArray<{
    destination: string
    source?: string
    type?: string
    options?: ReadonlyArray<string>
  }>
  readonly annotations?: Record<string, string>
  readonly linux?: {
    readonly cgroupsPath?: string
    readonly namespaces?: ReadonlyArray<{ readonly type: string; readonly path?: string }>
    readonly resources?: Resources
  }
}

export interface State {
  readonly id: string
  readonly pid: number
  readonly startTime: number
  readonly bundle: string
  readonly rootfs: string
  readonly created: string
  readonly cgroups: ReadonlyArray<string>
  readonly annotations: Record<string, string>
}

/** A refusal with its message: printed and written to the log file, exit code 1. */
export class Refusal extends Errno {
  readonly text: string
  constructor(text: string) {
    super("EINVAL", text)
    this.text = text
  }
}

export const environment = (entries: ReadonlyArray<string>): Record<string, string> =>
  Object.fromEntries(
    entries.map((entry) => {
      const at = entry.indexOf("=")
      return [entry.slice(0, at), entry.slice(at + 1)]
    })
  )
