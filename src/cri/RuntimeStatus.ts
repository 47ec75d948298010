/** What Status and RuntimeConfig report, as the rest of the daemon knows it; main.ts provides it. */
import { Context, type Effect } from "effect"
import type { RuntimeFeatures, RuntimeHandler } from "../gen/runtime/v1/api.ts"

/** A condition that holds, or why it does not: `reason` is one word (NetworkPluginNotReady), `message` a sentence. */
export type Condition =
  | { readonly ready: true }
  | { readonly ready: false; readonly reason: string; readonly message: string }

export class RuntimeStatus extends Context.Service<
  RuntimeStatus,
  {
    /** The two conditions that the kubelet requires; without the network only host-network pods are run. */
    readonly conditions: Effect.Effect<{ readonly RuntimeReady: Condition; readonly NetworkReady: Condition }>
    /** Unique names; "" is the default handler. A feature bit is set only if it is enforced. */
    readonly handlers: Effect.Effect<ReadonlyArray<RuntimeHandler>>
    readonly features: RuntimeFeatures
    /** For people, by topic (config, cniconfig, …); each value is sent as JSON. Asked for with `verbose` only. */
    readonly info: Effect.Effect<Readonly<Record<string, unknown>>>
    /** Who owns the cgroup tree; fixed while the daemon runs, and the kubelet builds the tree of pods by it. */
    readonly cgroupDriver: "systemd" | "cgroupfs"
  }
>()("cricket/cri/RuntimeStatus") {}
