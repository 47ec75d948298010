/** Debian's containerd beside Cricket: the same runtime, network and pause image. */

export interface ContainerdPlace {
  readonly root: string
  readonly state: string
  readonly socket: string
  readonly networks: string
  readonly pauseImage: string
  /** Name and program of the only OCI runtime. */
  readonly runtime: string
}

export const containerdConfiguration = ({ root, state, socket, networks, pauseImage, runtime }: ContainerdPlace) =>
  `version = 2
root = "${root}"
state = "${state}"
[grpc]
address = "${socket}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "${pauseImage}"
# This machine may not lower anybody's oom_score_adj.
restrict_oom_score_adj = true
stream_server_port = "0"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "${networks}"
[plugins."io.containerd.grpc.v1.cri".containerd]
default_runtime_name = "${runtime}"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.${runtime}]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.${runtime}.options]
BinaryName = "${runtime}"
`
