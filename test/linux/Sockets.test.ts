/** Peers are programs of this machine: Python speaks SOCK_SEQPACKET and SCM_RIGHTS, which Node does not. */
import { Effect, Layer } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { Files } from "../../src/linux/Files.ts"
import { Namespaces } from "../../src/linux/Namespaces.ts"
import { Sockets } from "../../src/linux/Sockets.ts"
import { socketsContract } from "./contracts/Sockets.contract.ts"
import { scratchRoot } from "./real.ts"

const echo = `
import socket, sys, threading
s = socket.create_server((sys.argv[1], 0), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
print(s.getsockname()[1], flush=True)
def serve(c):
    while (data := c.recv(65536)): c.sendall(data)
    c.close()
while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
`
const packets = `
import os, socket, sys
os.chdir(os.path.dirname(sys.argv[1]))
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.bind(os.path.basename(sys.argv[1])); s.listen()
print("ready", flush=True)
while True:
    c, _ = s.accept()
    while (data := c.recv(65536)): c.send(data)
    c.close()
`
const terminal = `
import array, os, pty, socket, sys
pid, master = pty.fork()
if pid == 0: os.execv("/bin/cat", ["cat"])
s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
s.connect(sys.argv[1])
s.sendmsg([b"/dev/ptmx"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [master]))])
print("ready", flush=True)
os.close(master)
os.waitpid(pid, 0)
`

/** Runs until the scope ends; answers its first line. */
const python = (script: string, prefix: ReadonlyArray<string>, ...args: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const [program, ...rest] = [...prefix, "python3", "-c", script, ...args] as [string, ...Array<string>]
      const child = spawn(program, rest, { stdio: ["ignore", "pipe", "inherit"] })
      const [line] = (await once(child.stdout, "data")) as [Buffer]
      return { child, line: line.toString().trim() }
    }),
    ({ child }) =>
      Effect.promise(async () => {
        if (child.exitCode !== null) return
        const exit = once(child, "exit")
        child.kill("SIGKILL")
        await exit
      })
  ).pipe(Effect.map(({ line }) => line))

socketsContract("real", {
  layer: Layer.mergeAll(Files.layer, Namespaces.layer, Sockets.layer),
  root: scratchRoot(),
  echo: (namespace, address = "127.0.0.1") =>
    Effect.map(python(echo, namespace === undefined ? [] : ["nsenter", `--net=${namespace}`], address), Number),
  packets: (path) => Effect.asVoid(python(packets, [], path)),
  sendTerminal: (address) => Effect.asVoid(python(terminal, [], address))
})
