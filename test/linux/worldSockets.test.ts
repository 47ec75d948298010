import { Effect, Layer, type Scope } from "effect"
import { NamespaceNode, SocketNode } from "../world/Node.ts"
import type { Program } from "../world/Program.ts"
import { containerCommand } from "../world/programs/shell.ts"
import { seamLayer } from "../world/layers.ts"
import { closeSide, Listener, Pty } from "../world/Wire.ts"
import { World } from "../world/World.ts"
import { installHost } from "../world/programs/host.ts"
import { socketsContract } from "./contracts/Sockets.contract.ts"
import { simulatedRoot } from "./simulated.ts"

let world = new World()
let port = 20_000

const layer = Layer.unwrap(
  Effect.gen(function* () {
    world = installHost(new World())
    const stop = world.engine.live()
    yield* Effect.addFinalizer(() => Effect.sync(stop))
    return seamLayer(world, world.startLife())
  })
)

/** A process of the simulated host, killed with the scope. */
const run = (
  program: Program,
  prepare: (world: World) => Partial<{ namespace: NamespaceNode; terminal: Pty }> = () => ({})
) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const { namespace, terminal } = prepare(world)
      const process = world.processes.create({
        path: "/usr/bin/peer",
        args: [],
        env: {},
        cwd: "/",
        fds: terminal?.slave() ?? new Map(),
        parent: world.processes.init,
        newSession: true
      })
      if (namespace !== undefined) process.namespaces.set("net", namespace)
      world.runProgram(process, program)
      return process
    }),
    (process) => Effect.sync(() => world.processes.signal(process, 9))
  ).pipe(Effect.tap(() => Effect.sleep(20)))

const command = (args: ReadonlyArray<string>) => containerCommand(args, { env: {}, cwd: "/", root: "/" })

const at = (path: string) => world.vfs.paths.find(path, { follow: true }).node

socketsContract("simulated", {
  layer,
  root: simulatedRoot,
  echo: (namespace, address = "127.0.0.1") =>
    Effect.suspend(() => {
      const number = ++port
      return Effect.as(
        run(command(["nc", "-l", "-s", address, "-p", String(number), "-e", "cat"]), () =>
          namespace === undefined ? {} : { namespace: at(namespace) as NamespaceNode }
        ),
        number
      )
    }),
  packets: (path): Effect.Effect<void, never, Scope.Scope> => {
    const listener = new Listener()
    const echo: Program = () =>
      Effect.gen(function* () {
        for (;;) {
          const side = yield* listener.accept
          for (;;) {
            const packet = yield* side.incoming.pipe.read
            if (packet === undefined) break
            yield* side.outgoing.pipe.write(packet)
          }
          closeSide(side)
        }
      })
    return Effect.gen(function* () {
      yield* Effect.addFinalizer(() => Effect.sync(() => listener.close()))
      world.vfs.place(path, (directory) => {
        const socket = new SocketNode(directory.home(), 0o700)
        socket.listener = listener
        return socket
      })
      yield* run(echo)
    })
  },
  sendTerminal: (address) =>
    Effect.asVoid(
      run(command(["cat"]), () => {
        const terminal = new Pty()
        const socket = at(address)
        if (socket instanceof SocketNode) socket.receive?.(terminal)
        return { terminal }
      })
    )
})
