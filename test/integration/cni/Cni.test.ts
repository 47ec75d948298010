import { assert, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, type Scope } from "effect"
import { spawn, execFileSync } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { Cni } from "../../../src/cni/Cni.ts"
import { podIps } from "../../../src/cni/CniResult.ts"
import { bridge, bridgeNetwork, type HostNetns, makeHostNetns, portmap, seam } from "./hostNetns.ts"

type Seam = Layer.Success<typeof seam>

const start = (host: HostNetns) =>
  Effect.map(Layer.build(Layer.fresh(Cni.layer(host.options))), (context) => Context.get(context, Cni))

/** Links, mounts and rules of the machine itself, as far as these tests could touch them. */
const machine = () => ({
  links: execFileSync("ip", ["-o", "link"], { encoding: "utf8" })
    .split("\n")
    .filter((line) => line.includes(bridge)),
  rules: execFileSync("iptables-save", { encoding: "utf8" })
    .split("\n")
    .filter((line) => line.includes("10.214.77.") || line.includes("ckt-net")),
  mounts: readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes("/tmp/cni-real-"))
})

const test = (
  name: string,
  body: (host: HostNetns, cni: Cni["Service"]) => Effect.Effect<void, unknown, Scope.Scope | Seam>
) =>
  it.live(
    name,
    () =>
      Effect.gen(function* () {
        const context = yield* Layer.build(seam)
        yield* Effect.gen(function* () {
          const host = yield* makeHostNetns
          host.configure(bridgeNetwork(host.root, {}, portmap))
          yield* body(host, yield* start(host))
        }).pipe(Effect.scoped, Effect.provideContext(context))
        assert.deepStrictEqual(machine(), { links: [], rules: [], mounts: [] })
      }),
    60_000
  )

/** The host once plugins have made what they keep for good: the bridge and the chains that rules hang in. */
const settle = Effect.fnUntraced(function* (host: HostNetns, cni: Cni["Service"]) {
  yield* host.pin("first")
  yield* cni.add(published(host, "first"))
  yield* cni.del(published(host, "first"))
  yield* host.unpin("first")
  return host.state()
})

const published = (host: HostNetns, name: string) =>
  host.attachment(name, {
    portMappings: [{ hostPort: 28_080, containerPort: 20_080, protocol: "tcp", hostIp: "" }]
  })

const serve = Effect.fnUntraced(function* (host: HostNetns, name: string, page: string) {
  const directory = `${host.root}/www-${name}`
  mkdirSync(directory)
  writeFileSync(`${directory}/index.html`, page)
  const command = [`--net=${host.root}/ns/${name}`, "busybox", "httpd", "-f", "-p", "20080", "-h", directory]
  yield* Effect.acquireRelease(
    Effect.sync(() => spawn("nsenter", command, { stdio: "ignore" })),
    (server) => Effect.sync(() => server.kill("SIGKILL"))
  )
  yield* Effect.sleep("200 millis")
})

// busybox's wget dies of SIGSEGV on some Debian machines; Node is at hand.
const fetch = (host: HostNetns, where: string, url: string) =>
  host.inside(
    where,
    process.execPath,
    "-e",
    `fetch("${url}", { signal: AbortSignal.timeout(5000) }).then((r) => r.text()).then((t) => process.stdout.write(t))`
  )

test("pods reach each other and are reached from the host, by address and by host port", (host, cni) =>
  Effect.gen(function* () {
    assert.deepStrictEqual(yield* cni.status, { ready: true, reason: "", message: "" })
    const before = yield* settle(host, cni)
    yield* host.pin("web")
    yield* host.pin("client")
    const web = published(host, "web")
    const result = yield* cni.add(web)
    yield* cni.add(host.attachment("client"))
    const [v4 = "", v6 = ""] = podIps(result)
    assert.match(v4, /^10\.214\.77\.\d+$/)
    assert.match(v6, /^fd00:214:77::/)
    yield* cni.check(host.attachment("client"))
    yield* serve(host, "web", "it is the pod")
    host.inside("host", "busybox", "ping", "-c1", "-W5", v4)
    host.inside("client", "busybox", "ping", "-c1", "-W5", v4)
    assert.strictEqual(fetch(host, "client", `http://${v4}:20080/`), "it is the pod")
    assert.strictEqual(fetch(host, "host", `http://${v4}:20080/`), "it is the pod")
    assert.strictEqual(fetch(host, "host", "http://10.214.77.1:28080/"), "it is the pod")
    assert.strictEqual(fetch(host, "host", "http://127.0.0.1:28080/"), "it is the pod")
    assert.strictEqual(fetch(host, "client", "http://10.214.77.1:28080/"), "it is the pod")
    assert.strictEqual(host.state()["leases"]?.length, 4)
    assert.strictEqual(host.state()["records"]?.length, 2)

    yield* cni.del(web)
    yield* cni.del(host.attachment("client"))
    assert.deepStrictEqual(host.state(), before)
    assert.isNotEmpty(before["links"] ?? [])
    yield* cni.del(web)
    assert.deepStrictEqual(host.state(), before)
  }))

test("CHECK finds an attachment that was damaged", (host, cni) =>
  Effect.gen(function* () {
    yield* host.pin("web")
    yield* cni.add(host.attachment("web"))
    host.inside("web", "ip", "link", "del", "eth0")
    const error = yield* Effect.flip(cni.check(host.attachment("web")))
    assert.include(error.message, "eth0")
    yield* cni.del(host.attachment("web"))
  }))

test("a chain whose second plugin fails leaves nothing", (host, cni) =>
  Effect.gen(function* () {
    const before = yield* settle(host, cni)
    host.configure(
      bridgeNetwork(host.root, {}, portmap, { type: "tuning", sysctl: { "net.ipv4.conf.IFNAME.no_such_thing": "1" } })
    )
    const broken = yield* start(host)
    yield* host.pin("web")
    const error = yield* Effect.flip(broken.add(published(host, "web")))
    assert.strictEqual(error.plugin, "tuning")
    assert.include(error.message, "no_such_thing")
    assert.include(error.message, "web0123456789abcdef")
    assert.deepStrictEqual(host.state(), before)
    assert.notInclude(host.inside("web", "ip", "-o", "link"), "eth0")
  }))

test("DEL without the network namespace gives back lease, rules and record", (host) =>
  Effect.gen(function* () {
    // Not ipMasq: the bridge plugin before 1.2 forgets its masquerading rule when it gets no namespace.
    host.configure(bridgeNetwork(host.root, { ipMasq: false }, portmap))
    const plain = yield* start(host)
    const before = yield* settle(host, plain)
    yield* host.pin("web")
    yield* plain.add(published(host, "web"))
    assert.notDeepEqual(host.state(), before)
    yield* host.unpin("web")
    yield* plain.del(published(host, "web"))
    assert.deepStrictEqual(host.state(), before)
  }))

test("DEL after a restart goes by the record, though the configuration is another", (host, cni) =>
  Effect.gen(function* () {
    const before = yield* settle(host, cni)
    yield* host.pin("web")
    yield* cni.add(published(host, "web"))
    host.configure({ cniVersion: "0.4.0", name: "elsewhere", plugins: [{ type: "loopback" }] })
    yield* (yield* start(host)).del(published(host, "web"))
    assert.deepStrictEqual(host.state(), before)
  }))

test("DEL after a crash before the record was written goes by the configuration", (host, cni) =>
  Effect.gen(function* () {
    const before = yield* settle(host, cni)
    yield* host.pin("web")
    yield* cni.add(published(host, "web"))
    rmSync(`${host.root}/lib/results`, { recursive: true })
    yield* (yield* start(host)).del(published(host, "web"))
    assert.deepStrictEqual({ ...host.state() }, before)
  }))

test("an ADD interrupted at any moment leaves nothing", (host, cni) =>
  Effect.gen(function* () {
    const before = yield* settle(host, cni)
    for (const delay of [0, 2, 5, 10, 15, 20, 30, 45, 60, 90]) {
      yield* host.pin("web")
      const fiber = yield* Effect.forkChild(cni.add(published(host, "web")), { startImmediately: true })
      yield* Effect.sleep(delay)
      yield* Fiber.interrupt(fiber)
      yield* cni.del(published(host, "web"))
      yield* host.unpin("web")
      assert.deepStrictEqual(host.state(), before, `after ${delay} ms`)
    }
  }))

test("what a plugin has started ends before DEL, also when it was the plugin of a killed daemon", (host) =>
  Effect.gen(function* () {
    // A plugin whose child would take something long after the plugin itself is gone.
    const leak = `${host.root}/leak`
    host.configure({ name: "slow-net", cniVersion: "1.0.0", plugins: [{ type: "slow" }] })
    writeFileSync(
      `${host.root}/bin/slow`,
      `#!/bin/sh
case $CNI_COMMAND in
  VERSION) echo '{"supportedVersions":["1.0.0"]}' ;;
  ADD) (sleep 1; echo late >> ${leak}) & sleep 1000 ;;
esac
`,
      { mode: 0o755 }
    )
    const cni = yield* start(host)
    yield* host.pin("web")
    const fiber = yield* Effect.forkChild(cni.add(host.attachment("web")), { startImmediately: true })
    yield* Effect.sleep("300 millis")
    yield* Fiber.interrupt(fiber)

    const { podId } = host.attachment("web")
    spawn(`${host.root}/bin/slow`, {
      stdio: "ignore",
      detached: true,
      env: { PATH: "/usr/bin:/bin", CNI_COMMAND: "ADD", CNI_CONTAINERID: podId }
    })
    yield* Effect.sleep("300 millis")
    yield* cni.del(host.attachment("web"))
    yield* Effect.sleep("1200 millis")
    assert.isFalse(existsSync(leak))
  }))

test("twenty pods at once get twenty addresses", (host, cni) =>
  Effect.gen(function* () {
    const before = yield* settle(host, cni)
    const names = Array.from({ length: 20 }, (_, index) => `pod${index}`)
    yield* Effect.forEach(names, (name) => host.pin(name))
    const results = yield* Effect.forEach(names, (name) => cni.add(host.attachment(name)), { concurrency: 4 })
    assert.strictEqual(new Set(results.flatMap(podIps)).size, 40)
    yield* Effect.forEach(names, (name) => cni.del(host.attachment(name)), { concurrency: 4 })
    assert.deepStrictEqual(host.state(), before)
  }))

test("the record is one that libcni reads", (host, cni) =>
  Effect.gen(function* () {
    yield* host.pin("web")
    yield* cni.add(published(host, "web"))
    const [name = ""] = readdirSync(`${host.root}/lib/results`)
    assert.strictEqual(name, "ckt-net-web0123456789abcdef-eth0")
    const record = JSON.parse(readFileSync(`${host.root}/lib/results/${name}`, "utf8"))
    assert.strictEqual(record.kind, "cniCacheV1")
    assert.strictEqual(record.result.cniVersion, "1.0.0")
    assert.strictEqual(record.capabilityArgs.portMappings[0].hostPort, 28_080)
    assert.strictEqual(
      Buffer.from(record.config, "base64").toString(),
      readFileSync(`${host.root}/net.d/10-ckt.conflist`, "utf8")
    )
    yield* cni.del(published(host, "web"))
    assert.isFalse(existsSync(`${host.root}/lib/results/${name}`))
  }))
