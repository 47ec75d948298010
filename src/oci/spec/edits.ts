/** Later changes to a finished specification, by CDI devices and hooks. Pure. */
import type { Device, DeviceRule, Hook, HookStage, Mount, RuntimeSpec } from "../../model/RuntimeSpec.ts"
import { distinctDevices } from "./devices.ts"
import { arrangeMounts } from "./mounts.ts"

export interface SpecEdits {
  /** "NAME=value": over a variable of the same name. */
  readonly env: ReadonlyArray<string>
  /** Over one of the same path. */
  readonly devices: ReadonlyArray<Device>
  readonly deviceRules: ReadonlyArray<DeviceRule>
  /** Over one of the same destination. */
  readonly mounts: ReadonlyArray<Mount>
  readonly hooks: ReadonlyArray<readonly [stage: HookStage, hook: Hook]>
  readonly additionalGids: ReadonlyArray<number>
}

export const hookEdits = (hooks: SpecEdits["hooks"]): SpecEdits => ({
  env: [],
  devices: [],
  deviceRules: [],
  mounts: [],
  hooks,
  additionalGids: []
})

const nameOf = (variable: string) => variable.slice(0, variable.indexOf("="))

const withVariables = (env: ReadonlyArray<string>, added: ReadonlyArray<string>): ReadonlyArray<string> => {
  const byName = new Map(env.map((variable) => [nameOf(variable), variable]))
  for (const variable of added) byName.set(nameOf(variable), variable)
  return Array.from(byName.values())
}

const withHooks = (spec: RuntimeSpec, added: SpecEdits["hooks"]): Pick<RuntimeSpec, "hooks"> => {
  if (added.length === 0) return {}
  const hooks: Partial<Record<HookStage, ReadonlyArray<Hook>>> = { ...spec.hooks }
  for (const [stage, hook] of added) hooks[stage] = [...(hooks[stage] ?? []), hook]
  return { hooks }
}

export const applyEdits = (spec: RuntimeSpec, edits: SpecEdits): RuntimeSpec => {
  const { user } = spec.process
  const { resources } = spec.linux
  return {
    ...spec,
    process: {
      ...spec.process,
      user: { ...user, additionalGids: [...new Set([...user.additionalGids, ...edits.additionalGids])] },
      env: withVariables(spec.process.env, edits.env)
    },
    mounts: arrangeMounts(spec.mounts, edits.mounts),
    ...withHooks(spec, edits.hooks),
    linux: {
      ...spec.linux,
      devices: distinctDevices([...spec.linux.devices, ...edits.devices]),
      resources: { ...resources, devices: [...(resources.devices ?? []), ...edits.deviceRules] }
    }
  }
}
