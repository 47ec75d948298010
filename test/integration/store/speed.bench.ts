/** Prints how fast a layer of real files goes into the store, beside skopeo and tar in the same run; asserts no time. */
import { afterAll, assert, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { execFileSync, execSync } from "node:child_process"
import { createHash } from "node:crypto"
import { createReadStream, mkdirSync, readFileSync, statSync } from "node:fs"
import { LayerUnpacker } from "../../../src/linux/LayerUnpacker.ts"
import {
  imageOf,
  makePlace,
  removePlace,
  sha256,
  storeLayer,
  install,
  type BuiltLayer,
  writeLayout
} from "./support.ts"

const at = makePlace("speed")
afterAll(() => removePlace(at))

it.live(
  "a layer of 200 MB and more",
  () =>
    Effect.gen(function* () {
      const { directory } = at
      execSync(
        `(cd /usr; find lib share -xdev -type f -size -4096k 2>/dev/null | LC_ALL=C sort | head -c 1000000 | tar --ignore-failed-read -cf - -T - 2>/dev/null) | head -c 262144000 > raw.tar || true`,
        { cwd: directory, shell: "/bin/bash" }
      )
      // Whole again: unpack what the cut left, archive that.
      execSync(
        `mkdir src; tar -C src -xf raw.tar 2>/dev/null; tar -C src -cf layer.tar .; rm -r src raw.tar; gzip -1 -k layer.tar`,
        { cwd: directory, shell: "/bin/bash" }
      )
      const tar = readFileSync(`${directory}/layer.tar`)
      const blob = readFileSync(`${directory}/layer.tar.gz`)
      const megabytes = tar.length / 1e6
      const lines = [`${megabytes.toFixed(0)} MB, gzip ${(blob.length / 1e6).toFixed(0)} MB`]
      const layer: BuiltLayer = { tar, blob, compression: "gzip" }
      const image = imageOf([layer])
      writeLayout(`${directory}/oci`, image)

      const measure = Effect.fnUntraced(function* <A, E, R>(what: string, effect: Effect.Effect<A, E, R>) {
        const started = performance.now()
        const value = yield* effect
        const seconds = (performance.now() - started) / 1000
        lines.push(`${what}: ${seconds.toFixed(2)} s, ${(megabytes / seconds).toFixed(0)} MB/s`)
        return value
      })

      const sync = () => execSync(`sync -f ${directory}`)
      for (let round = 0; round < 3; round++) {
        sync()
        const out = `${directory}/out${round}`
        mkdirSync(out)
        const unpacked = yield* measure(
          "cricket, unpack only, on the disk at the end",
          Effect.gen(function* () {
            const { unpack } = yield* LayerUnpacker
            return yield* unpack({
              blob: Stream.fromAsyncIterable(
                createReadStream(`${directory}/layer.tar.gz`) as AsyncIterable<Uint8Array>,
                (cause) => cause
              ),
              compression: "gzip",
              directory: out,
              tarSplitPath: `${out}.ts.gz`,
              blobSize: blob.length
            })
          }).pipe(Effect.provide(LayerUnpacker.layer))
        )
        assert.strictEqual(unpacked.diffId, `sha256:${createHash("sha256").update(tar).digest("hex")}`)
        assert.isAbove(statSync(`${out}.ts.gz`).size, 0)
        sync()
        mkdirSync(`${directory}/tar${round}`)
        yield* measure(
          "tar -xz and sync -f",
          Effect.sync(() => execSync(`tar -C tar${round} -xzf layer.tar.gz && sync -f tar${round}`, { cwd: directory }))
        )
        sync()
        yield* measure(
          "skopeo into containers-storage (no sync)",
          Effect.sync(() =>
            execFileSync("skopeo", [
              "copy",
              "-q",
              `oci:${directory}/oci`,
              `containers-storage:[overlay@${directory}/skopeo${round}+${directory}/skopeo-run${round}]example.test/a:1`
            ])
          )
        )
      }
      sync()
      yield* measure(
        "cricket, staged and committed as an image",
        install(image, "example.test/a:1").pipe(Effect.provide(storeLayer(at)))
      )
      assert.include(yield* at.podman("images", "--digests"), sha256(image.manifest))
      yield* Effect.logInfo(lines.join("\n"))
    }),
  300_000
)
