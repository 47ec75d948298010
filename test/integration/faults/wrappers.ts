/**
 * Programs that stand before the real parts and do what a control file says: fail, wait, or kill the daemon, before or
 * after the real program has done its work. Without a word in the control file they only pass everything on.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs"

/** "wait" holds the work until `disarm`; "stop" and "kill" are SIGTERM and SIGKILL for the daemon. */
export type Action = "fail" | "wait" | "stop" | "kill"
export type Moment = "before" | "after"

export interface Fault {
  /** Name of the point: "bridge-ADD", "crun-create", "conmon". */
  readonly point: string
  readonly moment: Moment
  readonly action: Action
}

/**
 * `name` is what the wrapper is called, `real` the program behind it. The point is the name, with the CNI command or the
 * runtime's command behind it. Standard input is kept, since a plugin's work needs it.
 */
const wrapper = (directory: string, name: string, real: string, command: string): string => `#!/bin/sh
# point of this call: the program and what it is asked to do
command=${command}
point=${name}$command
act() {
  read -r wanted moment action < ${directory}/control 2>/dev/null || return 0
  [ "$wanted" = "$point" ] && [ "$moment" = "$1" ] || return 0
  rm -f ${directory}/control
  echo "$point $moment $action" >> ${directory}/struck
  case $action in
    fail) ${name === "conmon" ? "exit 1" : `echo '{"cniVersion":"1.0.0","code":11,"msg":"made to fail"}'; echo "made to fail" >&2; exit 1`} ;;
    stop) kill "$(cat ${directory}/daemon.pid)"; sleep 0.2 ;;
    kill) kill -9 "$(cat ${directory}/daemon.pid)"; sleep 0.05 ;;
    wait) i=0; while [ ! -e ${directory}/go-on ] && [ $i -lt 400 ]; do sleep 0.05; i=$((i+1)); done ;;
  esac
}
act before
${real} "$@"
code=$?
[ $code -eq 0 ] && act after
exit $code
`

/** The runtime's command is the first word that is no option; \`--root\`, \`--log\` and \`--log-format\` take a value. */
const runtimeCommand = `$(for word in "$@"; do
  if [ -n "$skip" ]; then skip=; continue; fi
  case $word in --root|--log|--log-format) skip=1 ;; -*) ;; *) echo "-$word"; break ;; esac
done)`

export class Wrappers {
  readonly directory: string
  /** For plugin_dirs. */
  readonly plugins: string

  constructor(directory: string) {
    this.directory = directory
    this.plugins = `${directory}/plugins`
    mkdirSync(this.plugins, { recursive: true })
    for (const plugin of ["bridge", "portmap"]) {
      this.write(`${this.plugins}/${plugin}`, wrapper(directory, plugin, `/usr/lib/cni/${plugin}`, "-$CNI_COMMAND"))
    }
    for (const plugin of ["host-local", "loopback"]) {
      this.write(`${this.plugins}/${plugin}`, `#!/bin/sh\nexec /usr/lib/cni/${plugin}\n`)
    }
    this.write(this.conmon, wrapper(directory, "conmon", "/usr/bin/conmon", ""))
    this.write(this.runtime("crun"), wrapper(directory, "runtime", "/usr/bin/crun", runtimeCommand))
    this.write(this.runtime("runc"), wrapper(directory, "runtime", "/usr/sbin/runc", runtimeCommand))
  }

  get conmon(): string {
    return `${this.directory}/conmon`
  }

  runtime(name: "crun" | "runc"): string {
    return `${this.directory}/${name}`
  }

  arm({ point, moment, action }: Fault): void {
    rmSync(`${this.directory}/go-on`, { force: true })
    rmSync(`${this.directory}/struck`, { force: true })
    writeFileSync(`${this.directory}/control`, `${point} ${moment} ${action}\n`)
  }

  disarm(): void {
    rmSync(`${this.directory}/control`, { force: true })
    writeFileSync(`${this.directory}/go-on`, "")
  }

  watchedDaemon(pid: number): void {
    writeFileSync(`${this.directory}/daemon.pid`, String(pid))
  }

  private write(path: string, text: string): void {
    writeFileSync(path, text, { mode: 0o755 })
  }
}
