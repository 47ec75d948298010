/** Where the store lies. Filled from the configuration by main; the same directories that podman and CRI-O use. */
import { Context } from "effect"

export class StoreSettings extends Context.Service<
  StoreSettings,
  {
    /** containers/storage graph root ("/var/lib/containers/storage"): images, layers, containers; survives a reboot. */
    readonly graphRoot: string
    /** Run root ("/run/containers/storage"), on tmpfs: what a reboot takes away. */
    readonly runRoot: string
  }
>()("cricket/store/StoreSettings") {}
