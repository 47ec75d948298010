/** The edits of devices by their names, out of all specifications of a host. Pure. */
import { Result } from "effect"
import type { CdiSpec, ContainerEdits } from "./cdiSpec.ts"
import { isQualifiedName } from "./cdiSpec.ts"

export interface FoundSpec {
  readonly path: string
  /** Place of its directory in `cdi_spec_dirs`: of two specifications with one device the higher counts. */
  readonly priority: number
  readonly spec: CdiSpec
}

interface FoundDevice {
  readonly from: FoundSpec
  readonly edits: ContainerEdits
}

const devicesNamed = (name: string, specs: ReadonlyArray<FoundSpec>): ReadonlyArray<FoundDevice> =>
  specs.flatMap((from) =>
    from.spec.devices
      .filter((device) => `${from.spec.kind}=${device.name}` === name)
      .map((device) => ({ from, edits: device.containerEdits }))
  )

/** The failure is a sentence about the device. Two specifications of one directory with the same device name neither. */
const findDevice = (name: string, specs: ReadonlyArray<FoundSpec>): Result.Result<FoundDevice, string> => {
  if (!isQualifiedName(name)) return Result.fail(`${JSON.stringify(name)} is not vendor/class=name`)
  const found = devicesNamed(name, specs)
  const highest = Math.max(...found.map(({ from }) => from.priority))
  const [best, other] = found.filter(({ from }) => from.priority === highest)
  if (best === undefined) return Result.fail(`no specification has ${name}`)
  return other === undefined
    ? Result.succeed(best)
    : Result.fail(`${best.from.path} and ${other.from.path} both have ${name}`)
}

/**
 * In the order in which the devices are asked for, each after the common edits of its specification, which are taken
 * once. A name that comes twice counts once.
 */
export const selectDevices = (
  names: ReadonlyArray<string>,
  specs: ReadonlyArray<FoundSpec>
): Result.Result<ReadonlyArray<ContainerEdits>, string> =>
  Result.gen(function* () {
    const common = new Set<FoundSpec>()
    const edits: Array<ContainerEdits> = []
    for (const name of new Set(names)) {
      const device = yield* findDevice(name, specs)
      if (!common.has(device.from)) edits.push(device.from.spec.containerEdits)
      common.add(device.from)
      edits.push(device.edits)
    }
    const needs = edits.find(({ netDevices, intelRdt }) => netDevices.length > 0 || intelRdt !== undefined)
    if (needs !== undefined) {
      return yield* Result.fail(`${names.join(", ")}: netDevices and intelRdt of a CDI specification are not supported`)
    }
    return edits
  })
