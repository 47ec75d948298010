/**
 * A toy daemon to test the simulation with: a box is a record, a network namespace, a tmpfs, an address and a process
 * under conmon. Each flaw is one rule of the house broken; the driver has to find every one of them.
 */
import { Context, Effect, Exit, Layer, Option, Schedule } from "effect"
import { isTemporaryName, writeFileAtomic } from "../../../src/linux/atomicWrite.ts"
import { Files } from "../../../src/linux/Files.ts"
import { isGone, type LinuxError } from "../../../src/linux/LinuxError.ts"
import { Mounts } from "../../../src/linux/Mounts.ts"
import { Namespaces } from "../../../src/linux/Namespaces.ts"
import { Processes } from "../../../src/linux/Processes.ts"

export type Flaw =
  | "none"
  /** The record names what was taken, after it was taken. */
  | "intent after action"
  /** The record is renamed into place without a sync of its content. */
  | "no sync before rename"
  /** The directory is not synced: a power loss brings removed records back or loses new ones. */
  | "no sync of the directory"
  /** A create that fails leaves what it had taken. */
  | "no rollback"
  /** A release that fails is forgotten. */
  | "release not retried"
  /** What a dead daemon had begun is not looked at. */
  | "no recovery"
  /** SIGTERM waits for a child that never ends. */
  | "stop hangs"

const records = "/var/lib/boxes"
const running = "/run/boxes"

interface Box {
  readonly name: string
  readonly state: "creating" | "ready" | "removing"
}

const cniConfig = JSON.stringify({
  cniVersion: "1.0.0",
  name: "boxes",
  type: "bridge",
  bridge: "cni0",
  ipam: { type: "host-local", ranges: [[{ subnet: "10.1.0.0/24" }]] }
})

export class Refused extends Error {}

export class Boxes extends Context.Service<
  Boxes,
  {
    readonly create: (name: string) => Effect.Effect<void, LinuxError | Refused>
    readonly remove: (name: string) => Effect.Effect<void, LinuxError | Refused>
    readonly list: Effect.Effect<ReadonlyArray<string>>
  }
>()("cricket/test/Boxes") {}

export const boxesLayer = (flaw: Flaw): Layer.Layer<Boxes, LinuxError, Files | Mounts | Namespaces | Processes> =>
  Layer.effect(
    Boxes,
    Effect.gen(function* () {
      const files = yield* Files
      const mounts = yield* Mounts
      const namespaces = yield* Namespaces
      const processes = yield* Processes
      const boxes = new Map<string, Box>()
      const pathOf = (name: string) => `${records}/${name}.json`

      const save = Effect.fnUntraced(function* (box: Box) {
        if (flaw === "no sync before rename" || flaw === "no sync of the directory") {
          const temporary = `${records}/.${box.name}.json.0.tmp`
          yield* Effect.scoped(
            Effect.gen(function* () {
              const file = yield* files.open(temporary, "truncate", 0o600)
              yield* file.write(Buffer.from(JSON.stringify(box)))
              if (flaw === "no sync of the directory") yield* file.sync
            })
          )
          yield* files.rename(temporary, pathOf(box.name))
          if (flaw === "no sync before rename") yield* files.syncDirectory(records)
        } else {
          yield* writeFileAtomic(pathOf(box.name), JSON.stringify(box)).pipe(Effect.provideService(Files, files))
        }
        boxes.set(box.name, box)
      })

      const plugin = Effect.fnUntraced(function* (command: "ADD" | "DEL", name: string) {
        const result = yield* processes.run({
          path: "/opt/cni/bin/bridge",
          args: [],
          env: {
            CNI_COMMAND: command,
            CNI_CONTAINERID: name,
            CNI_NETNS: `${running}/${name}/net`,
            CNI_IFNAME: "eth0",
            CNI_PATH: "/opt/cni/bin"
          },
          stdin: Buffer.from(cniConfig)
        })
        if (result.code !== 0) return yield* Effect.fail(new Refused(Buffer.from(result.stdout).toString()))
      })

      const take = Effect.fnUntraced(function* (name: string) {
        const directory = `${running}/${name}`
        yield* files.makeDirectory(`${directory}/shm`, { recursive: true })
        yield* Effect.scoped(files.open(`${directory}/net`, "truncate"))
        yield* namespaces.pin({ namespaces: [{ kind: "net", path: `${directory}/net` }], sysctls: [] })
        yield* mounts.mount({ source: "shm", target: `${directory}/shm`, type: "tmpfs", flags: [], data: "" })
        yield* plugin("ADD", name)
      })

      const give = Effect.fnUntraced(function* (name: string) {
        const directory = `${running}/${name}`
        yield* plugin("DEL", name)
        yield* mounts.unmount(`${directory}/shm`, { detach: true }).pipe(
          Effect.catchIf(
            (error) => error.code === "EINVAL" || isGone(error),
            () => Effect.void
          )
        )
        yield* namespaces.unpin(`${directory}/net`)
        yield* files.removeTree(directory)
        yield* files.removeFile(pathOf(name)).pipe(Effect.catchIf(isGone, () => Effect.void))
        if (flaw !== "no sync of the directory") yield* files.syncDirectory(records)
        boxes.delete(name)
      })

      const release = (name: string) =>
        Effect.uninterruptible(
          give(name).pipe(
            Effect.catch((error) => {
              if (flaw === "release not retried") {
                boxes.delete(name)
                return Effect.asVoid(Effect.ignore(files.removeFile(pathOf(name))))
              }
              return Effect.fail(error)
            })
          )
        )

      /** What cannot be given back now is swept later. */
      const giveUp = (name: string) => {
        boxes.set(name, { name, state: "removing" })
        return release(name)
      }

      const create = Effect.fnUntraced(function* (name: string) {
        const known = boxes.get(name)
        if (known?.state === "ready") return
        if (known !== undefined) yield* release(name)
        const steps =
          flaw === "intent after action"
            ? Effect.andThen(take(name), save({ name, state: "ready" }))
            : save({ name, state: "creating" }).pipe(
                Effect.andThen(take(name)),
                Effect.andThen(save({ name, state: "ready" }))
              )
        yield* steps.pipe(
          Effect.onExit((exit) =>
            Exit.isSuccess(exit) || flaw === "no rollback" ? Effect.void : Effect.ignore(giveUp(name))
          )
        )
      })

      const remove = Effect.fnUntraced(function* (name: string) {
        const box = boxes.get(name)
        if (box === undefined) return
        yield* save({ ...box, state: "removing" })
        yield* release(name)
      })

      const recover = Effect.gen(function* () {
        yield* files.makeDirectory(records, { recursive: true })
        yield* files.makeDirectory(running, { recursive: true })
        for (const entry of yield* files.readDirectory(records)) {
          if (isTemporaryName(entry)) {
            yield* files.removeFile(`${records}/${entry}`)
            continue
          }
          const text = yield* files.readText(`${records}/${entry}`)
          const box = Option.getOrUndefined(Option.liftThrowable(() => JSON.parse(text) as Box)())
          if (box !== undefined) boxes.set(box.name, box)
        }
        if (flaw === "no recovery") return
        for (const { name, state } of boxes.values()) if (state !== "ready") yield* Effect.ignore(giveUp(name))
        // A reboot takes namespaces and mounts away, but not the address.
        for (const { name } of boxes.values()) {
          if (!(yield* namespaces.isPinned(`${running}/${name}/net`))) yield* Effect.ignore(giveUp(name))
        }
      })
      yield* recover

      const sweep = Effect.gen(function* () {
        for (const { name, state } of boxes.values()) if (state === "removing") yield* Effect.ignore(release(name))
      })
      yield* Effect.forkScoped(Effect.repeat(sweep, Schedule.spaced("5 seconds")))
      if (flaw === "stop hangs") yield* Effect.addFinalizer(() => Effect.never)

      // Never half-made ones; nor those that are going by themselves.
      const list = Effect.sync(() =>
        [...boxes.values()].filter(({ state }) => state === "ready").map(({ name }) => name)
      )
      return Boxes.of({ create, remove, list })
    })
  )
