/** Every RPC that is built, by name. What is not here answers Unimplemented; the README's matrix says so too. */
import { imageFsInfo } from "./image/imageFsInfo.ts"
import { imageStatus } from "./image/imageStatus.ts"
import { listImages } from "./image/listImages.ts"
import { pullImage } from "./image/pullImage.ts"
import { removeImage } from "./image/removeImage.ts"
import { streamImages } from "./image/streamImages.ts"
import { attach } from "./runtime/attach.ts"
import { containerStats } from "./runtime/containerStats.ts"
import { containerStatus } from "./runtime/containerStatus.ts"
import { createContainer } from "./runtime/createContainer.ts"
import { exec } from "./runtime/exec.ts"
import { execSync } from "./runtime/execSync.ts"
import { getContainerEvents } from "./runtime/getContainerEvents.ts"
import { listContainers } from "./runtime/listContainers.ts"
import { listContainerStats } from "./runtime/listContainerStats.ts"
import { listMetricDescriptors } from "./runtime/listMetricDescriptors.ts"
import { listPodSandbox } from "./runtime/listPodSandbox.ts"
import { listPodSandboxMetrics } from "./runtime/listPodSandboxMetrics.ts"
import { listPodSandboxStats } from "./runtime/listPodSandboxStats.ts"
import { podSandboxStats } from "./runtime/podSandboxStats.ts"
import { podSandboxStatus } from "./runtime/podSandboxStatus.ts"
import { portForward } from "./runtime/portForward.ts"
import { removeContainer } from "./runtime/removeContainer.ts"
import { removePodSandbox } from "./runtime/removePodSandbox.ts"
import { reopenContainerLog } from "./runtime/reopenContainerLog.ts"
import { runPodSandbox } from "./runtime/runPodSandbox.ts"
import { runtimeConfig } from "./runtime/runtimeConfig.ts"
import { startContainer } from "./runtime/startContainer.ts"
import { status } from "./runtime/status.ts"
import { stopContainer } from "./runtime/stopContainer.ts"
import { stopPodSandbox } from "./runtime/stopPodSandbox.ts"
import { streamContainers } from "./runtime/streamContainers.ts"
import { streamContainerStats } from "./runtime/streamContainerStats.ts"
import { streamPodSandboxes } from "./runtime/streamPodSandboxes.ts"
import { updateContainerResources } from "./runtime/updateContainerResources.ts"
import { updatePodSandboxResources } from "./runtime/updatePodSandboxResources.ts"
import { streamPodSandboxMetrics } from "./runtime/streamPodSandboxMetrics.ts"
import { streamPodSandboxStats } from "./runtime/streamPodSandboxStats.ts"
import { updateRuntimeConfig } from "./runtime/updateRuntimeConfig.ts"
import { version } from "./runtime/version.ts"

export const handlers = {
  runtime: {
    Version: version,
    Status: status,
    RuntimeConfig: runtimeConfig,
    UpdateRuntimeConfig: updateRuntimeConfig,
    RunPodSandbox: runPodSandbox,
    StopPodSandbox: stopPodSandbox,
    RemovePodSandbox: removePodSandbox,
    PodSandboxStatus: podSandboxStatus,
    ListPodSandbox: listPodSandbox,
    StreamPodSandboxes: streamPodSandboxes,
    CreateContainer: createContainer,
    StartContainer: startContainer,
    StopContainer: stopContainer,
    RemoveContainer: removeContainer,
    ContainerStatus: containerStatus,
    GetContainerEvents: getContainerEvents,
    UpdateContainerResources: updateContainerResources,
    UpdatePodSandboxResources: updatePodSandboxResources,
    ListContainers: listContainers,
    StreamContainers: streamContainers,
    ContainerStats: containerStats,
    ListContainerStats: listContainerStats,
    StreamContainerStats: streamContainerStats,
    PodSandboxStats: podSandboxStats,
    ListPodSandboxStats: listPodSandboxStats,
    StreamPodSandboxStats: streamPodSandboxStats,
    ListMetricDescriptors: listMetricDescriptors,
    ListPodSandboxMetrics: listPodSandboxMetrics,
    StreamPodSandboxMetrics: streamPodSandboxMetrics,
    ExecSync: execSync,
    Exec: exec,
    Attach: attach,
    PortForward: portForward,
    ReopenContainerLog: reopenContainerLog
  },
  image: {
    ListImages: listImages,
    StreamImages: streamImages,
    ImageStatus: imageStatus,
    PullImage: pullImage,
    RemoveImage: removeImage,
    ImageFsInfo: imageFsInfo
  }
}
