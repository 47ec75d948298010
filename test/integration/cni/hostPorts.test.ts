/**
 * Host ports of a network as CRI-O's users write it, a bridge and nothing else: who reaches the pod by which address of
 * the node, and that no rule stays. Needs root, the plugins, iptables and ip6tables.
 */
import { assert, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { spawn } from "node:child_process"
import type { PortMapping } from "../../../src/cni/Attachment.ts"
import { Cni } from "../../../src/cni/Cni.ts"
import { bridgeNetwork, type HostNetns, makeHostNetns, portmap, seam } from "./hostNetns.ts"

const node = { v4: "192.0.2.10", v6: "2001:db8:9::10" }

/** Answers each connection and each datagram with the address that it comes from. */
const server = `
const { createServer } = require("node:net"), { createSocket } = require("node:dgram")
const plain = (address) => address.replace("::ffff:", "")
createServer((c) => c.end("tcp " + plain(c.remoteAddress))).listen(8080, "::")
const udp = createSocket({ type: "udp6" }).on("message", (_, from) => udp.send("udp " + plain(from.address), from.port, from.address))
udp.bind(8053, "::", () => console.log("listening"))
`

/** Asks "protocol address port" lines; an answer or "-" for each. */
const client = `
const { connect } = require("node:net"), { createSocket } = require("node:dgram")
const ask = (line) => new Promise((done) => {
  const [protocol, address, port] = line.split(" ")
  const none = setTimeout(() => done("-"), 1000)
  const answer = (text) => { clearTimeout(none); done(String(text)) }
  if (protocol === "tcp") connect(Number(port), address).on("data", answer).on("error", () => answer("-"))
  else {
    const socket = createSocket(address.includes(":") ? "udp6" : "udp4").on("message", answer).on("error", () => answer("-"))
    socket.send("x", Number(port), address)
  }
})
Promise.all(process.argv.slice(1).map(ask)).then((all) => { console.log(JSON.stringify(all)); process.exit() })
`

const serve = Effect.fnUntraced(function* (host: HostNetns, name: string) {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn("nsenter", [`--net=${host.root}/ns/${name}`, process.execPath, "-e", server], {
        stdio: ["ignore", "pipe", "ignore"]
      })
    ),
    (started) => Effect.sync(() => started.kill("SIGKILL"))
  )
  yield* Effect.callback<void>((resume) => {
    child.stdout.once("data", () => resume(Effect.void))
  })
})

/** A node with an address of each family on a link to a neighbour, which reaches the node and nothing behind it. */
const withNeighbour = Effect.fnUntraced(function* (host: HostNetns) {
  yield* Effect.acquireRelease(host.pin("neighbour"), () => host.unpin("neighbour"))
  host.inside("host", "ip", "link", "set", "lo", "up")
  host.inside("neighbour", "ip", "link", "set", "lo", "up")
  // "ip link" names another namespace by a process in it.
  const holder = spawn("nsenter", [`--net=${host.root}/ns/neighbour`, "sleep", "60"], { stdio: "ignore" })
  yield* Effect.addFinalizer(() => Effect.sync(() => holder.kill("SIGKILL")))
  yield* Effect.sleep("200 millis")
  host.inside("host", "ip", "link", "add", "eth9", "type", "veth", "peer", "name", "eth9", "netns", `${holder.pid}`)
  for (const [where, host4, host6] of [
    ["host", node.v4, node.v6],
    ["neighbour", "192.0.2.20", "2001:db8:9::20"]
  ] as const) {
    host.inside(where, "ip", "address", "add", `${host4}/24`, "dev", "eth9")
    host.inside(where, "ip", "address", "add", `${host6}/64`, "dev", "eth9", "nodad")
    host.inside(where, "ip", "link", "set", "eth9", "up")
  }
})

const mapping = (
  hostPort: number,
  protocol: PortMapping["protocol"],
  containerPort: number,
  hostIp = ""
): PortMapping => ({ hostPort, protocol, containerPort, hostIp })

const mappings = [
  mapping(28_080, "tcp", 8080),
  mapping(28_053, "udp", 8053),
  mapping(28_090, "sctp", 8090),
  mapping(28_081, "tcp", 8080, "127.0.0.1"),
  mapping(28_082, "tcp", 8080, node.v4),
  mapping(28_083, "tcp", 8080, node.v6),
  mapping(28_084, "tcp", 8080, "0.0.0.0"),
  mapping(28_085, "tcp", 8080, "::")
]

const scenario = (chained: ReadonlyArray<object>) =>
  Effect.gen(function* () {
    const context = yield* Layer.build(seam)
    yield* Effect.gen(function* () {
      const host = yield* makeHostNetns
      yield* withNeighbour(host)
      host.configure(bridgeNetwork(host.root, {}, ...chained))
      const cni = Context.get(yield* Layer.build(Cni.layer(host.options)), Cni)
      const ask = (where: string, ...questions: ReadonlyArray<string>): ReadonlyArray<string> =>
        JSON.parse(host.inside(where, process.execPath, "-e", client, ...questions))

      // What plugins keep for good once they have run.
      yield* host.pin("first")
      const first = host.attachment("first", { portMappings: mappings })
      yield* cni.add(first)
      yield* cni.del(first)
      yield* host.unpin("first")
      const before = host.state()

      yield* host.pin("web")
      const web = host.attachment("web", { portMappings: mappings })
      const result = yield* cni.add(web)
      const addresses = result.ips.map(({ address }) => address.split("/")[0] ?? "")
      yield* serve(host, "web")

      // The bridge's first port: until its address is known to be nobody else's (RFC 4862), IPv6 waits.
      while (host.inside("host", "ip", "-6", "address", "show", "tentative") !== "") yield* Effect.sleep("100 millis")
      const gateway = "10.214.77.1"
      // The node by its own addresses and by 127.0.0.1.
      assert.deepStrictEqual(
        ask(
          "host",
          "tcp 127.0.0.1 28080",
          `tcp ${node.v4} 28080`,
          `tcp ${gateway} 28080`,
          `tcp ${node.v6} 28080`,
          "udp 127.0.0.1 28053",
          `udp ${node.v4} 28053`,
          `udp ${node.v6} 28053`
        ),
        [
          `tcp ${gateway}`,
          `tcp ${node.v4}`,
          `tcp ${gateway}`,
          `tcp ${node.v6}`,
          `udp ${gateway}`,
          `udp ${node.v4}`,
          `udp ${node.v6}`
        ]
      )
      // A neighbour keeps its own address in the eyes of the pod.
      assert.deepStrictEqual(
        ask(
          "neighbour",
          `tcp ${node.v4} 28080`,
          `tcp ${node.v6} 28080`,
          `udp ${node.v4} 28053`,
          `udp ${node.v6} 28053`
        ),
        ["tcp 192.0.2.20", "tcp 2001:db8:9::20", "udp 192.0.2.20", "udp 2001:db8:9::20"]
      )
      // The pod itself, by the node's address.
      assert.deepStrictEqual(ask("web", `tcp ${node.v4} 28080`), [`tcp ${gateway}`])
      // hostIP: this address and no other.
      const reached = (...questions: ReadonlyArray<string>) => ask("host", ...questions).map((answer) => answer !== "-")
      assert.deepStrictEqual(
        reached(
          "tcp 127.0.0.1 28081",
          `tcp ${node.v4} 28081`,
          `tcp ${node.v4} 28082`,
          "tcp 127.0.0.1 28082",
          `tcp ${node.v6} 28083`,
          `tcp ${node.v4} 28083`,
          `tcp ${node.v4} 28084`,
          "tcp 127.0.0.1 28084",
          `tcp ${node.v6} 28084`,
          `tcp ${node.v6} 28085`,
          `tcp ${node.v4} 28085`
        ),
        [true, false, true, false, true, false, true, true, false, true, false]
      )
      // This kernel may have no SCTP sockets; its rules are there.
      const rules = host.state()["rules"] ?? []
      for (const address of addresses) {
        const target = address.includes(":") ? `[${address}]:8090` : `${address}:8090`
        assert.isTrue(
          rules.some((rule) => rule.includes("-p sctp") && rule.includes(`--to-destination ${target}`)),
          target
        )
      }

      yield* cni.del(web)
      assert.deepStrictEqual(reached("tcp 127.0.0.1 28080", `tcp ${node.v4} 28080`, `tcp ${node.v6} 28080`), [
        false,
        false,
        false
      ])
      yield* host.unpin("web")
      assert.deepStrictEqual(host.state(), before)
    }).pipe(Effect.scoped, Effect.provideContext(context))
  })

it.live(
  "a bridge without portmap: ports by every address of the node, of both families, and nothing stays",
  () => Effect.scoped(scenario([])),
  60_000
)

it.live(
  "a bridge with portmap, as containerd's users write it: the same",
  () => Effect.scoped(scenario([portmap])),
  60_000
)
