/** Makes OCI specifications: reads what the request points at, on the host and in the image, then composes. */
import { Context, Effect, Layer } from "effect"
import type { ContainerConfig, LinuxSandboxSecurityContext } from "../gen/runtime/v1/api.ts"
import { Files } from "../linux/Files.ts"
import { Mounts } from "../linux/Mounts.ts"
import type { Mount, RuntimeSpec } from "../model/RuntimeSpec.ts"
import { HostFacts } from "./HostFacts.ts"
import { resolveCdiDevices } from "./internal/hostCdi.ts"
import { resolveDevices } from "./internal/hostDevices.ts"
import { resolveHooks } from "./internal/hostHooks.ts"
import { type MountSettings, resolveImageVolumes, resolveRequestedMounts } from "./internal/hostMounts.ts"
import { resolveApparmor, resolveSeccomp } from "./internal/hostSecurity.ts"
import type { SpecError } from "./OciError.ts"
import type { RuntimeHandler } from "./RuntimeHandlers.ts"
import { capabilities } from "./spec/capabilities.ts"
import { containerSpec } from "./spec/containerSpec.ts"
import { applyEdits, hookEdits } from "./spec/edits.ts"
import { orFail } from "./spec/fault.ts"
import type { ImageDefaults, NamespaceChoices, SpecSettings } from "./spec/input.ts"
import { bind } from "./spec/mounts.ts"
import { namespaceChoices, type PodNamespaces } from "./spec/namespaces.ts"
import { pauseSpec } from "./spec/pauseSpec.ts"
import { annotatedDevices, annotatedUmask } from "./spec/podAnnotations.ts"
import { type ContainerUser, resolveUser } from "./spec/user.ts"
import { checkUserMapped } from "./spec/userNamespace.ts"

/** Options of the configuration, keys of [crio.runtime] and [crio.image]; `Settings` fits. */
export interface ContainerSpecSettings extends SpecSettings, MountSettings {
  readonly additional_devices: ReadonlyArray<string>
  readonly allowed_devices: ReadonlyArray<string>
  /** Searched for CDI specifications; the later counts more. */
  readonly cdi_spec_dirs: ReadonlyArray<string>
  /** Directories of OCI hook definitions. */
  readonly hooks_dir: ReadonlyArray<string>
  readonly device_ownership_from_security_context: boolean
  readonly seccomp_profile: string
  readonly privileged_seccomp_profile: string
  readonly apparmor_profile: string
}

/** Files of the pod that every container sees; undefined leaves the image's own. */
export interface PodFiles {
  readonly hostname: string | undefined
  readonly resolvConf: string | undefined
  /** Directory bound to /dev/shm. */
  readonly sharedMemory: string
}

interface SpecTarget {
  readonly handler: RuntimeHandler
  readonly image: ImageDefaults
  /** Path of the mounted root file system. */
  readonly rootfs: string
  /** What the runtime's cgroup driver expects: "/parent/child", or "slice:prefix:name" with systemd. */
  readonly cgroupsPath: string
}

export interface ContainerSpecRequest extends SpecTarget {
  readonly id: string
  readonly sandboxId: string
  readonly config: ContainerConfig
  /** HOSTNAME of the environment: the pod's, on the host's network the node's. */
  readonly hostname: string
  readonly namespaces: PodNamespaces
  readonly podFiles: PodFiles
  /** Anonymous volumes are made below it when `image_volumes` is "bind". */
  readonly volumeDirectory: string
  /** Where the images of image mounts are mounted on the host, by container_path. */
  readonly imageSources?: ReadonlyMap<string, string>
  /** Of the pod sandbox: some ask for what the CRI has no field for. */
  readonly podAnnotations?: Readonly<Record<string, string>>
}

export interface PauseSpecRequest extends SpecTarget {
  readonly id: string
  readonly command: ReadonlyArray<string>
  readonly securityContext: LinuxSandboxSecurityContext | undefined
  readonly namespaces: Omit<NamespaceChoices, "pid">
  readonly sharedMemory: string
}

export interface ContainerSpec {
  readonly spec: RuntimeSpec
  /** For ContainerStatus.user. */
  readonly user: ContainerUser
}

const noImageSources: ReadonlyMap<string, string> = new Map()

const podFileMounts = ({ hostname, resolvConf }: PodFiles, readonly: boolean): ReadonlyArray<Mount> => {
  const options = [readonly ? "ro" : "rw", "rprivate", "nosuid", "nodev", "noexec"]
  return [
    ...(hostname === undefined ? [] : [bind(hostname, "/etc/hostname", options)]),
    ...(resolvConf === undefined ? [] : [bind(resolvConf, "/etc/resolv.conf", options)])
  ]
}

export class ContainerSpecs extends Context.Service<
  ContainerSpecs,
  {
    /** Makes missing mount sources and the image's volumes on the way; everything else is only read. */
    readonly container: (request: ContainerSpecRequest) => Effect.Effect<ContainerSpec, SpecError>
    /** The pause container of a pod whose containers share a PID namespace, which it opens. */
    readonly pause: (request: PauseSpecRequest) => Effect.Effect<ContainerSpec, SpecError>
  }
>()("cricket/oci/ContainerSpecs") {
  static readonly layer = (
    settings: ContainerSpecSettings
  ): Layer.Layer<ContainerSpecs, never, Files | Mounts | HostFacts> =>
    Layer.effect(
      ContainerSpecs,
      Effect.gen(function* () {
        const facts = yield* HostFacts
        const services = yield* Effect.context<Files | Mounts>()
        const profiles = (handler: RuntimeHandler) => ({
          facts,
          defaultSeccomp:
            handler.options.seccomp_profile === "" ? settings.seccomp_profile : handler.options.seccomp_profile,
          privilegedSeccomp: settings.privileged_seccomp_profile,
          defaultApparmor: settings.apparmor_profile
        })

        const container = Effect.fn("ContainerSpecs.container")(function* (request: ContainerSpecRequest) {
          const { id, config, handler, image, rootfs } = request
          const security = config.linux?.securityContext
          const privileged = security?.privileged ?? false
          const namespaces = yield* orFail(id, namespaceChoices(security?.namespaceOptions, request.namespaces))
          const user = yield* resolveUser(id, rootfs, security, image.User)
          yield* orFail(id, checkUserMapped(user, namespaces.user))
          const pod = { annotations: request.podAnnotations ?? {}, allowed: handler.options.allowed_annotations }
          const umask = yield* orFail(id, annotatedUmask(pod))

          const requested = yield* resolveRequestedMounts(
            {
              containerId: id,
              mounts: config.mounts,
              handler,
              imageSources: request.imageSources ?? noImageSources,
              user: namespaces.user
            },
            settings
          )
          const volumes = yield* resolveImageVolumes(
            {
              containerId: id,
              rootfs,
              volumes: Object.keys(image.Volumes),
              taken: new Set(requested.map(({ destination }) => destination)),
              directory: request.volumeDirectory,
              user: namespaces.user
            },
            settings
          )
          const podMounts = podFileMounts(request.podFiles, (security?.readonlyRootfs ?? false) || settings.read_only)

          const {
            devices,
            rules,
            mounts: deviceMounts
          } = yield* resolveDevices({
            containerId: id,
            requested: config.devices,
            additional: settings.additional_devices,
            annotated: annotatedDevices(pod),
            allowed: settings.allowed_devices,
            allOfHost: privileged && !handler.options.privileged_without_host_devices,
            owner: settings.device_ownership_from_security_context ? { uid: user.uid, gid: user.gid } : undefined,
            inUserNamespace: namespaces.user !== undefined
          })

          const granted = yield* orFail(
            id,
            capabilities({
              requested: security?.capabilities,
              privileged,
              defaults: settings.default_capabilities,
              inheritable: settings.add_inheritable_capabilities,
              available: facts.capabilities
            })
          )
          const confinement = {
            containerId: id,
            context: security,
            capabilities: new Set(granted.bounding),
            ...profiles(handler)
          }
          const composed = yield* orFail(
            id,
            containerSpec({
              id,
              sandboxId: request.sandboxId,
              config,
              image,
              settings,
              handler,
              facts,
              rootfs,
              cgroupsPath: request.cgroupsPath,
              hostname: request.hostname,
              namespaces,
              user,
              umask,
              capabilities: granted,
              mounts: [...volumes, ...podMounts, ...deviceMounts, ...requested],
              sharedMemory: request.podFiles.sharedMemory,
              devices,
              deviceRules: rules,
              seccomp: yield* resolveSeccomp(confinement),
              apparmorProfile: yield* resolveApparmor(confinement)
            })
          )
          // Over everything that the request's own devices gave.
          const cdi = yield* resolveCdiDevices({
            containerId: id,
            names: config.CDIDevices.map(({ name }) => name),
            directories: settings.cdi_spec_dirs,
            user: composed.process.user
          })
          const spec = cdi.reduce(applyEdits, composed)
          const hooks = yield* resolveHooks(id, settings.hooks_dir, {
            annotations: spec.annotations,
            command: spec.process.args[0] ?? "",
            hasBindMounts: requested.length > 0
          })
          return {
            spec: applyEdits(spec, hookEdits(hooks)),
            user: { ...user, additionalGids: spec.process.user.additionalGids }
          }
        }, Effect.provide(services))

        const pause = Effect.fn("ContainerSpecs.pause")(function* (request: PauseSpecRequest) {
          const { id, image, rootfs, securityContext } = request
          const user = yield* resolveUser(
            id,
            rootfs,
            securityContext === undefined ? undefined : { ...securityContext, runAsUsername: "" },
            image.User
          )
          yield* orFail(id, checkUserMapped(user, request.namespaces.user))
          const seccomp = yield* resolveSeccomp({
            containerId: id,
            context: securityContext === undefined ? undefined : { ...securityContext, apparmorProfile: "" },
            capabilities: new Set(),
            ...profiles(request.handler)
          })
          const spec = yield* orFail(
            id,
            pauseSpec({
              id,
              command: request.command,
              image,
              facts,
              rootfs,
              cgroupsPath: request.cgroupsPath,
              namespaces: { ...request.namespaces, pid: "private" },
              user,
              sharedMemory: request.sharedMemory,
              seccomp
            })
          )
          return { spec, user }
        }, Effect.provide(services))

        return ContainerSpecs.of({ container, pause })
      })
    )
}
