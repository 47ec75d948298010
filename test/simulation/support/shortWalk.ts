/** The way of a pod's only container, for tests that look at one moment of it. */
import type { Kubelet } from "./kubelet.ts"
import type { podWalk } from "./podWalk.ts"

type Steps = ReturnType<ReturnType<typeof podWalk>>["steps"]

/** From its image to its end; the moment comes once the container has been created. */
export const shortWalk = (kubelet: Kubelet, ...moment: Steps): Steps => [
  { name: "PullImage", run: kubelet.pullImage },
  { name: "RunPodSandbox", run: kubelet.runPod },
  { name: "CreateContainer", run: kubelet.createContainer },
  ...moment,
  { name: "RemoveContainer", run: kubelet.removeContainer },
  { name: "StopPodSandbox", run: kubelet.stopPod },
  { name: "RemovePodSandbox", run: kubelet.removePod },
  { name: "RemoveImage", run: kubelet.removeImage }
]
