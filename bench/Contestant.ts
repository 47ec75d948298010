/** What is measured of each way to run a pod. */

/** Steps of a pod's life, in their order. */
export const steps = ["RunPodSandbox", "CreateContainer", "StartContainer", "ExecSync", "teardown"] as const
export type Step = (typeof steps)[number]

export const image = "docker.io/library/busybox:latest"
export const pauseImage = "docker.io/library/pause:latest"
export const pauseCommand = ["/bin/sleep", "2000000"]
/** PID 1 of every container. */
export const command = ["/bin/sleep", "1000000"]

export interface Contestant {
  readonly name: string
  /** Begins a pod; whoever asked calls the steps in their order, each once. */
  readonly pod: (number: number) => Readonly<Record<Step, () => Promise<unknown>>>
  /** None for what is no daemon. */
  readonly daemon?: {
    /** Ends the daemon and starts it anew; milliseconds from exec to the reply of the first Version. */
    readonly restart: () => Promise<number>
    readonly pid: () => number
    /** One ListContainerStats of all containers; how many it answered with. */
    readonly listStats: () => Promise<number>
  }
  /** Processes that stay beside the daemon for one running container: monitor, shim, pause. */
  readonly companions: () => ReadonlyArray<number>
  readonly close: () => Promise<void>
}

export const timed = async (work: () => Promise<unknown>): Promise<number> => {
  const start = performance.now()
  await work()
  return performance.now() - start
}
