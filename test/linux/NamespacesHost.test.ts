/** What is inside a pinned namespace, and that the daemon itself never stays there. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync } from "node:child_process"
import { readFileSync, readlinkSync, writeFileSync } from "node:fs"
import { performance } from "node:perf_hooks"
import { Namespaces } from "../../src/linux/Namespaces.ts"
import { codeOf } from "./contracts/environment.ts"
import { scratchRoot } from "./real.ts"

const root = scratchRoot()
const kinds = ["net", "ipc", "uts"] as const
const ownNamespaces = () => kinds.map((kind) => readlinkSync(`/proc/thread-self/ns/${kind}`))
const inside = (flag: string, ...command: ReadonlyArray<string>) =>
  execFileSync("nsenter", [flag, ...command], { encoding: "utf8" })

let count = 0
const makeRequest = () => {
  const namespaces = kinds.map((kind) => ({ kind, path: `${root}/${count++}-${kind}` }))
  for (const { path } of namespaces) writeFileSync(path, "")
  return namespaces
}

it.live("hostname, sysctls and loopback are set inside, and nothing outside", () =>
  Effect.gen(function* () {
    const service = yield* Namespaces
    const namespaces = makeRequest()
    const [net, ipc, uts] = namespaces.map(({ path }) => path)
    const host = () => [
      ...ownNamespaces(),
      execFileSync("hostname", { encoding: "utf8" }),
      readFileSync("/proc/sys/net/ipv4/ip_default_ttl", "utf8"),
      readFileSync("/proc/sys/kernel/msgmax", "utf8")
    ]
    const before = host()
    yield* service.pin({
      namespaces,
      hostname: "pod-1",
      sysctls: [
        { path: "net/ipv4/ip_default_ttl", value: "17" },
        { path: "kernel/msgmax", value: "4321" }
      ]
    })
    try {
      assert.deepStrictEqual(host(), before)
      assert.strictEqual(inside(`--uts=${uts}`, "hostname").trim(), "pod-1")
      assert.strictEqual(inside(`--net=${net}`, "cat", "/proc/sys/net/ipv4/ip_default_ttl").trim(), "17")
      assert.strictEqual(inside(`--ipc=${ipc}`, "cat", "/proc/sys/kernel/msgmax").trim(), "4321")
      assert.match(inside(`--net=${net}`, "cat", "/proc/net/fib_trie"), /127\.0\.0\.1\n +\/32 host LOCAL/)
    } finally {
      for (const { path } of namespaces) yield* service.unpin(path)
    }
  }).pipe(Effect.provide(Namespaces.layer))
)

it.live("a pod's user namespace maps its ids and owns its other namespaces", () =>
  Effect.gen(function* () {
    const service = yield* Namespaces
    const before = ownNamespaces()
    const children = () => readFileSync("/proc/thread-self/children", "utf8").split(" ").length
    const childrenBefore = children()
    const namespaces = [...makeRequest(), { kind: "user" as const, path: `${root}/${count++}-user` }]
    const [net, , uts, user] = namespaces.map(({ path }) => path)
    writeFileSync(user!, "")
    const range = [{ containerId: 0, hostId: 70_000, length: 1000 }]
    yield* service.pin({
      namespaces,
      mappings: { uids: range, gids: range },
      hostname: "mapped",
      sysctls: [
        { path: "net/ipv4/ip_default_ttl", value: "17" },
        { path: "kernel/msgmax", value: "4321" }
      ]
    })
    try {
      assert.deepStrictEqual(ownNamespaces(), before)
      assert.strictEqual(children(), childrenBefore)
      assert.match(
        inside(`--user=${user}`, "cat", "/proc/self/uid_map", "/proc/self/gid_map"),
        /^(\s+0 +70000 +1000\n){2}$/
      )
      assert.strictEqual(inside(`--uts=${uts}`, "hostname").trim(), "mapped")
      assert.strictEqual(inside(`--net=${net}`, "cat", "/proc/sys/net/ipv4/ip_default_ttl").trim(), "17")
      assert.match(inside(`--net=${net}`, "cat", "/proc/net/fib_trie"), /127\.0\.0\.1\n +\/32 host LOCAL/)
      // Only who owns the network namespace may act in it.
      execFileSync("nsenter", [`--user=${user}`, `--net=${net}`, "ip", "link", "set", "lo", "down"])
      const refused = {
        namespaces,
        mappings: { uids: range, gids: range },
        sysctls: [{ path: "net/ipv4/none", value: "1" }]
      }
      assert.strictEqual(yield* codeOf(service.pin(refused)), "ENOENT")
      assert.deepStrictEqual(ownNamespaces(), before)
      assert.strictEqual(children(), childrenBefore)
    } finally {
      for (const { path } of namespaces) yield* service.unpin(path)
    }
    for (const { path } of namespaces) assert.isFalse(yield* service.isPinned(path))
  }).pipe(Effect.provide(Namespaces.layer))
)

it.live("after a failure at any step the thread is at home again", () =>
  Effect.gen(function* () {
    const service = yield* Namespaces
    const before = ownNamespaces()
    const namespaces = makeRequest()
    const failures = [
      { namespaces, sysctls: [], hostname: "x".repeat(100) },
      { namespaces, sysctls: [{ path: "net/ipv4/none", value: "1" }] },
      { namespaces, sysctls: [{ path: "net/ipv4/ip_default_ttl", value: "not a number" }] },
      { namespaces: [...namespaces, { kind: "uts" as const, path: `${root}/none/x` }], sysctls: [] }
    ]
    const codes = yield* Effect.forEach(failures, (request) => codeOf(service.pin(request)))
    assert.deepStrictEqual(codes, ["EINVAL", "ENOENT", "EINVAL", "ENOENT"])
    assert.deepStrictEqual(ownNamespaces(), before)
    for (const { path } of namespaces) assert.isFalse(yield* service.isPinned(path))
  }).pipe(Effect.provide(Namespaces.layer))
)

it.live("a pin that is stacked twice goes with one unpin", () =>
  Effect.gen(function* () {
    const service = yield* Namespaces
    const namespaces = makeRequest()
    yield* service.pin({ namespaces, sysctls: [] })
    yield* service.pin({ namespaces, sysctls: [] })
    for (const { path } of namespaces) {
      yield* service.unpin(path)
      assert.isFalse(yield* service.isPinned(path))
    }
  }).pipe(Effect.provide(Namespaces.layer))
)

it.live("traffic is counted inside, and the thread is at home again, after a refusal too", () =>
  Effect.gen(function* () {
    const service = yield* Namespaces
    const before = ownNamespaces()
    const namespaces = makeRequest()
    const net = namespaces[0]!.path
    const uts = namespaces[2]!.path
    yield* service.pin({ namespaces, sysctls: [] })
    try {
      inside(`--net=${net}`, "bash", "-c", "echo 12345 > /dev/udp/127.0.0.1/9")
      const [loopback] = yield* service.networkCounters(net)
      assert.strictEqual(loopback?.name, "lo")
      assert.isTrue((loopback?.received.packets ?? 0n) > 0n)
      assert.deepStrictEqual(loopback?.received, loopback?.transmitted)
      assert.strictEqual(yield* codeOf(service.networkCounters(uts)), "EINVAL")
      assert.deepStrictEqual(ownNamespaces(), before)
    } finally {
      for (const { path } of namespaces) yield* service.unpin(path)
    }
  }).pipe(Effect.provide(Namespaces.layer))
)

it.live("takes about a millisecond", () =>
  Effect.gen(function* () {
    const service = yield* Namespaces
    const times: Array<number> = []
    for (let index = 0; index < 20; index++) {
      const namespaces = makeRequest()
      const started = performance.now()
      yield* service.pin({ namespaces, hostname: "pod", sysctls: [{ path: "net/ipv4/ip_forward", value: "1" }] })
      times.push(performance.now() - started)
      for (const { path } of namespaces) yield* service.unpin(path)
    }
    times.sort((a, b) => a - b)
    process.stdout.write(
      `pin of three namespaces: median ${times[10]!.toFixed(2)} ms, min ${times[0]!.toFixed(2)} ms\n`
    )
    assert.isBelow(times[0]!, 100)
  }).pipe(Effect.provide(Namespaces.layer))
)
