import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { TestClock } from "effect/testing"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { Files } from "../../src/linux/Files.ts"
import { makeRecordFiles } from "../../src/pod/recordFiles.ts"

const inDirectory = <A, E>(
  body: (at: { readonly durable: string; readonly newest: string }) => Effect.Effect<A, E, Files | Scope.Scope>
) =>
  Effect.acquireUseRelease(
    Effect.sync(() => mkdtempSync(`${tmpdir()}/cricket-records-`)),
    (top) => Effect.scoped(body({ durable: `${top}/durable`, newest: `${top}/newest` })),
    (top) => Effect.sync(() => rmSync(top, { recursive: true }))
  ).pipe(Effect.provide(Files.layer))

const text = (directory: string, id: string) => readFileSync(`${directory}/${id}.json`, "utf8")

/** The disk is real, so what the clock has set free still takes its time. */
const eventually = (holds: () => boolean) =>
  Effect.promise(async () => {
    for (let tries = 0; !holds(); tries++) {
      if (tries === 500) throw new Error("it does not come to hold")
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  })

const texts = Effect.fnUntraced(function* (found: ReadonlyArray<{ readonly text: Effect.Effect<string, unknown> }>) {
  return yield* Effect.forEach(found, (version) => version.text)
})

describe("record files", () => {
  it.effect("begin on the disk, and follow there what was saved", () =>
    inDirectory(
      Effect.fnUntraced(function* (at) {
        const records = yield* makeRecordFiles(at)
        yield* records.begin("a", "first")
        assert.strictEqual(text(at.durable, "a"), "first")
        yield* records.save("a", "second")
        yield* records.save("a", "third")
        assert.strictEqual(text(at.newest, "a"), "third")
        assert.strictEqual(text(at.durable, "a"), "first")
        yield* TestClock.adjust("1 second")
        yield* eventually(() => text(at.durable, "a") === "third")
      })
    )
  )

  it.effect("bring what is due to the disk when the daemon ends", () =>
    inDirectory(
      Effect.fnUntraced(function* (at) {
        const life = yield* Scope.make()
        const records = yield* Scope.provide(makeRecordFiles(at), life)
        yield* records.begin("a", "first")
        yield* records.save("a", "second")
        yield* Scope.close(life, Exit.void)
        assert.strictEqual(text(at.durable, "a"), "second")
      })
    )
  )

  it.effect("stay away once they are dropped", () =>
    inDirectory(
      Effect.fnUntraced(function* (at) {
        const records = yield* makeRecordFiles(at)
        yield* records.begin("a", "first")
        yield* records.save("a", "second")
        yield* records.drop("a")
        yield* records.drop("never there")
        yield* records.begin("b", "first")
        yield* records.save("b", "second")
        yield* TestClock.adjust("1 second")
        yield* eventually(() => text(at.durable, "b") === "second")
        assert.isFalse(existsSync(`${at.durable}/a.json`))
        assert.isFalse(existsSync(`${at.newest}/a.json`))
      })
    )
  )

  it.effect("are found newest version first, without what a dead daemon was writing", () =>
    inDirectory(
      Effect.fnUntraced(function* (at) {
        for (const directory of [at.durable, at.newest]) mkdirSync(directory)
        writeFileSync(`${at.durable}/both.json`, "older")
        writeFileSync(`${at.newest}/both.json`, "newer")
        writeFileSync(`${at.durable}/begun.json`, "begun")
        writeFileSync(`${at.newest}/going.json`, "going")
        writeFileSync(`${at.durable}/.both.json.k3x.tmp`, "half")
        writeFileSync(`${at.newest}/.both.json.k3x.tmp`, "half")
        const records = yield* makeRecordFiles(at)
        const found = new Map((yield* records.list).map(({ id, versions }) => [id, versions]))
        assert.deepStrictEqual(yield* texts(found.get("both") ?? []), ["newer", "older"])
        assert.deepStrictEqual(yield* texts(found.get("begun") ?? []), ["begun"])
        assert.deepStrictEqual(yield* texts(found.get("going") ?? []), ["going"])
        assert.strictEqual(found.size, 3)
        assert.deepStrictEqual(
          [...readdirSync(at.durable), ...readdirSync(at.newest)].filter((name) => name.startsWith(".")),
          []
        )
      })
    )
  )

  it.effect("are put aside with every version", () =>
    inDirectory(
      Effect.fnUntraced(function* (at) {
        const records = yield* makeRecordFiles(at)
        yield* records.begin("a", "first")
        yield* records.save("a", "second")
        yield* records.setAside("a")
        yield* records.setAside("never there")
        assert.deepStrictEqual([...readdirSync(at.durable), ...readdirSync(at.newest)], ["a.json.bad", "a.json.bad"])
        assert.deepStrictEqual(yield* records.list, [])
      })
    )
  )
})
