import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Result } from "effect"
import { PullSettings, type PullSettingsShape } from "../../src/image/PullSettings.ts"
import { formatReference, parseReference } from "../../src/image/Reference.ts"
import { RegistriesConf } from "../../src/image/RegistriesConf.ts"
import { hostFiles } from "./support/hostFiles.ts"

const hex = "0123456789abcdef".repeat(4)
const ref = (text: string) => Result.getOrThrow(parseReference(text))

const withConf = <A, E>(
  files: Record<string, string>,
  effect: Effect.Effect<A, E, RegistriesConf>,
  settings: Partial<PullSettingsShape> = {}
) =>
  effect.pipe(
    Effect.provide(
      RegistriesConf.layer.pipe(
        Layer.provide(
          PullSettings.layerTest({ registriesConf: "/c/registries.conf", registriesConfDirs: ["/c/d"], ...settings })
        ),
        Layer.provide(hostFiles(files))
      )
    )
  )

const sourcesOf = (files: Record<string, string> | string, text: string) =>
  withConf(
    typeof files === "string" ? { "/c/registries.conf": files } : files,
    Effect.flatMap(RegistriesConf, (conf) => conf.sources(ref(text))).pipe(
      Effect.map((sources) =>
        sources.map(({ reference, insecure }) => formatReference(reference) + (insecure ? " insecure" : ""))
      )
    )
  )

const mirrors = `
[[registry]]
prefix = "docker.io"
location = "127.0.0.1:5000/hub"
insecure = true

[[registry.mirror]]
location = "m1.example/cache/"
[[registry.mirror]]
location = "m2.example"
insecure = true
pull-from-mirror = "digest-only"
[[registry.mirror]]
location = "m3.example"
pull-from-mirror = "tag-only"
`

describe("sources", () => {
  it.effect("without configuration the registry itself, by https", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* sourcesOf({}, "busybox"), ["docker.io/library/busybox"])
    })
  )

  it.effect("mirrors first, by the kind of reference, then the rewritten registry", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* sourcesOf(mirrors, "busybox:1"), [
        "m1.example/cache/library/busybox:1",
        "m3.example/library/busybox:1",
        "127.0.0.1:5000/hub/library/busybox:1 insecure"
      ])
      assert.deepStrictEqual(yield* sourcesOf(mirrors, `busybox@sha256:${hex}`), [
        `m1.example/cache/library/busybox@sha256:${hex}`,
        `m2.example/library/busybox@sha256:${hex} insecure`,
        `127.0.0.1:5000/hub/library/busybox@sha256:${hex} insecure`
      ])
      assert.deepStrictEqual(yield* sourcesOf(mirrors, "quay.io/a:1"), ["quay.io/a:1"])
    })
  )

  it.effect("mirror-by-digest-only keeps tags away from mirrors", () =>
    Effect.gen(function* () {
      const conf = `[[registry]]\nlocation="a.io"\nmirror-by-digest-only=true\n[[registry.mirror]]\nlocation="m.io"`
      assert.deepStrictEqual(yield* sourcesOf(conf, "a.io/x:1"), ["a.io/x:1"])
      assert.deepStrictEqual(yield* sourcesOf(conf, `a.io/x@sha256:${hex}`), [
        `m.io/x@sha256:${hex}`,
        `a.io/x@sha256:${hex}`
      ])
    })
  )

  it.effect("the longest prefix wins, at a boundary only", () =>
    Effect.gen(function* () {
      const conf = `
[[registry]]
prefix="a.io"
location="short.io"
[[registry]]
prefix="a.io/team"
location="team.io/x"
`
      assert.deepStrictEqual(yield* sourcesOf(conf, "a.io/team/app:1"), ["team.io/x/app:1"])
      assert.deepStrictEqual(yield* sourcesOf(conf, "a.io/teams/app:1"), ["short.io/teams/app:1"])
      assert.deepStrictEqual(yield* sourcesOf(conf, "a.ios/team/app:1"), ["a.ios/team/app:1"])
    })
  )

  it.effect("wildcards: any depth, not the domain itself, unchanged without location", () =>
    Effect.gen(function* () {
      const conf = `
[[registry]]
prefix="*.corp.example"
location="mirror.io/corp"
[[registry]]
prefix="*.deep.corp.example"
insecure=true
`
      assert.deepStrictEqual(yield* sourcesOf(conf, "a.b.corp.example/app:1"), ["mirror.io/corp/app:1"])
      assert.deepStrictEqual(yield* sourcesOf(conf, "corp.example/app:1"), ["corp.example/app:1"])
      assert.deepStrictEqual(yield* sourcesOf(conf, "x.deep.corp.example/app:1"), [
        "x.deep.corp.example/app:1 insecure"
      ])
      assert.deepStrictEqual(yield* sourcesOf(conf, "evil.io/x.corp.example/app:1"), ["evil.io/x.corp.example/app:1"])
    })
  )

  it.effect("drop-ins are read in order and replace tables by prefix; a blocked registry is refused", () =>
    Effect.gen(function* () {
      const files = {
        "/c/registries.conf": `[[registry]]\nlocation="a.io"\ninsecure=true`,
        "/c/d/10-x.conf": `[[registry]]\nprefix="a.io"\nlocation="first.io"`,
        "/c/d/20-x.conf": `[[registry]]\nprefix="a.io"\nlocation="second.io"`,
        "/c/d/30-x.conf.bak": `[[registry]]\nprefix="a.io"\nlocation="never.io"`,
        "/c/d/40-x.conf": `[[registry]]\nlocation="bad.io"\nblocked=true`
      }
      assert.deepStrictEqual(yield* sourcesOf(files, "a.io/x:1"), ["second.io/x:1"])
      const error = yield* Effect.flip(sourcesOf(files, "bad.io/x:1"))
      assert.strictEqual(error._tag, "RegistryBlocked")
    })
  )

  it.effect.each([
    ["= 1", "registries.conf"],
    [`[[registry]]\nlocation="https://a.io"`, "without"],
    [`[[registry]]\ninsecure=true`, "needs a prefix"],
    [`[[registry]]\nprefix="a.io"`, "location is missing"],
    [`[[registry]]\nlocation="a.io"\ninsecure="yes"`, "insecure"],
    [`[[registry]]\nprefix="*.a.io/x"\nlocation="b.io"`, "wildcard"],
    [`[[registry]]\nprefix="a.*.io"\nlocation="b.io"`, "wildcard"],
    [`[registries.search]\nregistries=["docker.io"]`, "version 1"],
    [
      `[[registry]]\nlocation="a.io"\nmirror-by-digest-only=true\n[[registry.mirror]]\nlocation="m.io"\npull-from-mirror="all"\n[[registry.mirror]]\nlocation="n.io"\npull-from-mirror="tag-only"`,
      "exclude each other"
    ],
    [
      `[[registry]]\nprefix="a.io/x"\nlocation="a.io"\n[[registry]]\nprefix="b.io"\nlocation="a.io"\ninsecure=true`,
      "insecure in one place"
    ]
  ] as const)("an unusable file fails the pull and says why: %j", ([conf, reason]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(sourcesOf(conf, "a.io/x:1"))
      assert.strictEqual(error._tag, "RegistriesConfError")
      assert.include(error.message, "/c/registries.conf")
      assert.include(error.message, reason)
    })
  )
})

describe("resolve", () => {
  const conf = `
unqualified-search-registries = ["quay.io", "docker.io"]
[aliases]
"busybox" = "quay.io/prometheus/busybox"
"team/app" = "a.io/app"
"gone" = ""
`
  const resolve = (text: string, settings: Partial<PullSettingsShape> = {}, content = conf) =>
    withConf(
      { "/c/registries.conf": content },
      Effect.flatMap(RegistriesConf, (service) => service.resolve(text)).pipe(
        Effect.map((references) => references.map(formatReference))
      ),
      settings
    )

  it.effect("an alias is final; other short names need an unambiguous registry", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* resolve("busybox:1"), ["quay.io/prometheus/busybox:1"])
      assert.deepStrictEqual(yield* resolve(`team/app@sha256:${hex}`), [`a.io/app@sha256:${hex}`])
      assert.deepStrictEqual(yield* resolve("docker.io/busybox"), ["docker.io/library/busybox"])
      const error = yield* Effect.flip(resolve("gone"))
      assert.strictEqual(error._tag, "ShortNameAmbiguous")
      assert.include(error.message, "quay.io/gone, docker.io/library/gone")
      assert.deepStrictEqual(yield* resolve("gone:2", { shortNameMode: "disabled" }), [
        "quay.io/gone:2",
        "docker.io/library/gone:2"
      ])
      assert.deepStrictEqual(yield* resolve("alpine", {}, ""), ["docker.io/library/alpine"])
    })
  )

  it.effect("a file that was repaired is read again by the next pull", () =>
    Effect.gen(function* () {
      const files = { "/c/registries.conf": "= broken" }
      yield* withConf(
        files,
        Effect.gen(function* () {
          const service = yield* RegistriesConf
          assert.strictEqual((yield* Effect.flip(service.resolve("busybox")))._tag, "RegistriesConfError")
          files["/c/registries.conf"] = conf
          assert.deepStrictEqual((yield* service.resolve("busybox")).map(formatReference), [
            "quay.io/prometheus/busybox"
          ])
        })
      )
    })
  )
})
