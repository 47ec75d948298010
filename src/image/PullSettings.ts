/** What the image service takes from the configuration and from the machine. */
import { Context, Duration, Effect, Layer } from "effect"
import { Settings } from "../config/Settings.ts"
import { hostPlatform, type Platform } from "../model/Platform.ts"

export interface PullSettingsShape {
  /** containers-registries.conf(5), version 2. A missing file is an empty one. */
  readonly registriesConf: string
  /** Directories of drop-ins ("*.conf"), later ones win. */
  readonly registriesConfDirs: ReadonlyArray<string>
  /** containers-certs.d(5): the first directory that has one for the host is used. */
  readonly certsDirs: ReadonlyArray<string>
  /** containers-auth.json(5): the first file that has an entry for the repository is used. */
  readonly authFiles: ReadonlyArray<string>
  /** Of policies for Kubernetes namespaces, NAMESPACE.json. */
  readonly policyDirectory: string
  /** containers-policy.json(5) as configured; "" takes the first of `policyFiles` that is there. */
  readonly policyFile: string
  readonly policyFiles: ReadonlyArray<string>
  readonly shortNameMode: "enforcing" | "disabled"
  /** A pull without a byte for this long fails; zero never does, but stalled connections are replaced all the same. */
  readonly progressTimeout: Duration.Duration
  readonly platform: Platform
  /** Layers that are downloaded at the same time, for one image and for all of them. */
  readonly layersPerImage: number
  readonly layersInAll: number
  /** An exact name, a prefix followed by "*", or a "*keyword*". */
  readonly pinnedImages: ReadonlyArray<string>
  readonly pauseImage: string
}

export class PullSettings extends Context.Service<PullSettings, PullSettingsShape>()("cricket/image/PullSettings") {
  /** `environment` is the process's, `nodeArch` its `process.arch`; `patch` replaces what a caller knows better. */
  static readonly layer = (
    environment: Readonly<Record<string, string | undefined>>,
    nodeArch: string,
    patch: Partial<PullSettingsShape> = {}
  ): Layer.Layer<PullSettings, never, Settings> =>
    Layer.effect(
      PullSettings,
      Effect.map(Settings, ({ image }) => {
        const home = environment.HOME ?? "/root"
        const runtime = environment.XDG_RUNTIME_DIR
        const configHome = environment.XDG_CONFIG_HOME ?? `${home}/.config`
        return {
          registriesConf: "/etc/containers/registries.conf",
          registriesConfDirs: ["/etc/containers/registries.conf.d"],
          certsDirs: ["/etc/containers/certs.d", "/etc/docker/certs.d"],
          authFiles:
            image.global_auth_file === ""
              ? [
                  runtime === undefined ? "/run/containers/0/auth.json" : `${runtime}/containers/auth.json`,
                  `${configHome}/containers/auth.json`,
                  `${environment.DOCKER_CONFIG ?? `${home}/.docker`}/config.json`
                ]
              : [image.global_auth_file],
          policyDirectory: image.signature_policy_dir,
          policyFile: image.signature_policy,
          policyFiles: [`${configHome}/containers/policy.json`, "/etc/containers/policy.json"],
          shortNameMode: image.short_name_mode,
          progressTimeout: image.pull_progress_timeout,
          platform: hostPlatform(nodeArch),
          layersPerImage: 6,
          layersInAll: 12,
          pinnedImages: image.pinned_images,
          pauseImage: image.pause_image,
          ...patch
        }
      })
    )

  /** No file of the host is read. */
  static readonly layerTest = (patch: Partial<PullSettingsShape> = {}): Layer.Layer<PullSettings> =>
    Layer.succeed(PullSettings, {
      registriesConf: "/nonexistent/registries.conf",
      registriesConfDirs: [],
      certsDirs: [],
      authFiles: [],
      policyDirectory: "/nonexistent/policies",
      policyFile: "",
      policyFiles: [],
      shortNameMode: "enforcing",
      progressTimeout: Duration.zero,
      platform: { os: "linux", architecture: "amd64" },
      layersPerImage: 6,
      layersInAll: 12,
      pinnedImages: [],
      pauseImage: "registry.k8s.io/pause:3.10.1",
      ...patch
    })
}
