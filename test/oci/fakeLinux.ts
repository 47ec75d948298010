/** A host of a few files and programs, for services that read and run them. Records what was run. */
import { Effect, Layer } from "effect"
import { type FileKind, Files, type FileStat } from "../../src/linux/Files.ts"
import { LinuxError } from "../../src/linux/LinuxError.ts"
import { Mounts, type MountEntry } from "../../src/linux/Mounts.ts"
import { Processes, type RunRequest, type RunResult } from "../../src/linux/Processes.ts"
import { Sockets } from "../../src/linux/Sockets.ts"

export type FakeFile =
  | string
  | {
      readonly kind: FileKind
      readonly mode?: number
      readonly specialDevice?: number
      /** Of a symlink. */
      readonly target?: string
    }

export interface FakeHost {
  /** Changes of owner and mode, in the order in which they are made. */
  readonly changed?: Array<string>
  readonly files: Record<string, FakeFile>
  readonly mounts?: ReadonlyArray<Partial<MountEntry>>
  readonly run?: (request: RunRequest) => Partial<RunResult> & { readonly text?: string; readonly error?: string }
}

const failure = (operation: string, subject: string, code: string) =>
  Effect.fail(new LinuxError({ operation, subject, code }))

const statOf = (file: FakeFile): FileStat => {
  const { kind, mode, specialDevice }: Exclude<FakeFile, string> = typeof file === "string" ? { kind: "file" } : file
  return {
    kind,
    mode: mode ?? 0o755,
    uid: 0,
    gid: 0,
    size: 0,
    inode: 1,
    device: 1,
    specialDevice: specialDevice ?? 0,
    modifiedMs: 0
  }
}

export const fakeLinux = (host: FakeHost) => {
  const ran: Array<RunRequest> = []
  const find = (operation: string, path: string) => {
    const file = host.files[path]
    return file === undefined ? failure(operation, path, "ENOENT") : Effect.succeed(file)
  }
  const read = (path: string) =>
    Effect.flatMap(find("open", path), (file) =>
      typeof file === "string" ? Effect.succeed(file) : failure("open", path, "EINVAL")
    )
  const makeDirectory = (path: string) =>
    Effect.sync(() => {
      host.files[path] ??= { kind: "directory" }
    })
  const files = Layer.mock(Files, {
    readText: read,
    readFile: (path) => Effect.map(read(path), (text) => Buffer.from(text)),
    readInRoot: (root, path) => Effect.map(read(root + path), (text) => Buffer.from(text)),
    stat: (path) => Effect.map(find("stat", path), statOf),
    lstat: (path) => Effect.map(find("lstat", path), statOf),
    attendFifo: (path) => Effect.asVoid(find("open", path)),
    realPath: (path) => Effect.map(find("realpath", path), (file) => (typeof file === "object" && file.target) || path),
    readDirectory: (path) =>
      Effect.sync(() =>
        Object.keys(host.files)
          .filter((name) => name.startsWith(`${path}/`) && !name.slice(path.length + 1).includes("/"))
          .map((name) => name.slice(path.length + 1))
          .sort()
      ),
    makeDirectory,
    chown: (path, uid, gid) => Effect.sync(() => void host.changed?.push(`${path} ${uid}:${gid}`)),
    chmod: (path, mode) => Effect.sync(() => void host.changed?.push(`${path} ${mode.toString(8)}`)),
    makeDirectoryInRoot: (root, path) => makeDirectory(root + path),
    removeTree: (path) => Effect.sync(() => void delete host.files[path]),
    removeVolatile: (path) => Effect.sync(() => void delete host.files[path]),
    removeFile: (path) => Effect.sync(() => void delete host.files[path]),
    open: (path) =>
      Effect.succeed({
        read: () => failure("read", path, "EBADF"),
        write: (data) =>
          Effect.sync(() => {
            host.files[path] = Buffer.from(data).toString()
          }),
        writeAt: () => failure("pwrite", path, "EBADF"),
        sync: Effect.void
      })
  })
  const mounts = Layer.mock(Mounts, {
    list: () =>
      Effect.succeed(
        (host.mounts ?? []).map((entry) => ({
          id: 1,
          parent: 0,
          root: "/",
          target: "/",
          options: [],
          propagation: [],
          type: "ext4",
          source: "none",
          superOptions: [],
          ...entry
        }))
      )
  })
  const processes = Layer.mock(Processes, {
    run: (request) =>
      Effect.sync(() => {
        ran.push(request)
        const { text = "", error = "", ...result } = host.run?.(request) ?? {}
        return { code: 0, signal: null, stdout: Buffer.from(text), stderr: Buffer.from(error), ...result }
      })
  })
  return { ran, layer: Layer.mergeAll(files, mounts, processes, Layer.mock(Sockets, {})) }
}
