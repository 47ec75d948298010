import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { InvalidRequest } from "../../src/pod/PodError.ts"
import { redactMessage, redactText, secretFields } from "../../src/cri/redact.ts"
import { causeChain } from "../../src/cri/statusCodes.ts"
import { CreateContainerRequest, PullImageRequest } from "../../src/gen/runtime/v1/api.ts"
import { environment, LogLines, startServer } from "./support.ts"

const canary = "c4n4ry-7731"

describe("redactText", () => {
  it("takes userinfo and query out of URLs and nothing else", () => {
    const cases = {
      "GET https://u:p@reg.example/v2/?token=abc#top failed":
        "GET https://[redacted]@reg.example/v2/?[redacted]#top failed",
      "https://user:p@ss@reg.example:5000/v2": "https://[redacted]@reg.example:5000/v2",
      'Get "https://reg.example/a?x=1": EOF': 'Get "https://reg.example/a?[redacted]": EOF',
      "HTTP://U@h/": "HTTP://[redacted]@h/",
      "busybox@sha256:abc is what? a@b": "busybox@sha256:abc is what? a@b",
      "docker://reg.example/app@sha256:abc": "docker://reg.example/app@sha256:abc",
      "no url": "no url"
    }
    for (const [text, expected] of Object.entries(cases)) assert.strictEqual(redactText(text), expected)
  })
})

describe("redactMessage", () => {
  it("knows every field that the protobuf text marks with debug_redact", () => {
    const fixture = join(import.meta.dirname, "../gen/fixtures/cri-v1.json")
    const { messages } = JSON.parse(readFileSync(fixture, "utf8")) as {
      messages: Record<string, Record<string, ReadonlyArray<unknown>>>
    }
    const marked = Object.values(messages).flatMap((fields) =>
      Object.entries(fields).flatMap(([name, row]) => (row.includes("debug_redact") ? [name] : []))
    )
    const camelCase = marked.map((name) => name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase()))
    assert.lengthOf(camelCase, 4)
    for (const name of camelCase) assert.isTrue(secretFields.has(name), name)
  })

  it("keeps what helps and hides what must be hidden", () => {
    const auth = { username: "me", password: canary, auth: canary, serverAddress: "reg.example" }
    const message = { image: { image: "reg.example/app" }, auth: { ...auth, identityToken: "", registryToken: canary } }
    assert.deepStrictEqual(redactMessage(message), {
      image: { image: "reg.example/app" },
      auth: {
        username: "me",
        password: "[redacted]",
        auth: "[redacted]",
        serverAddress: "reg.example",
        identityToken: "",
        registryToken: "[redacted]"
      }
    })
    assert.deepStrictEqual(
      redactMessage({ envs: [{ key: "TOKEN", value: Buffer.from(canary) }], size: 3n, raw: Buffer.alloc(9) }),
      {
        envs: ["TOKEN=[redacted]"],
        size: "3",
        raw: "9 bytes"
      }
    )
    assert.deepStrictEqual(redactMessage({ url: `http://127.0.0.1:10010/exec/${canary}` }), { url: "[redacted]" })
  })
})

describe("the log at trace level", () => {
  it.live("never shows a secret, nor does the client's status", () =>
    Effect.gen(function* () {
      const url = `https://user:${canary}@reg.example/v2/app/manifests/latest?token=${canary}`
      const server = yield* startServer({
        runtime: {
          CreateContainer: (request) =>
            Effect.logInfo(`looking at ${url}`).pipe(
              Effect.annotateLogs({ from: url, config: { url } }),
              Effect.andThen(Effect.logError("odd", new Error(url))),
              Effect.as({ containerId: request.podSandboxId })
            ),
          StartContainer: () => Effect.die(new Error(`cannot fetch ${url}`)),
          Exec: () => Effect.succeed({ url: `http://127.0.0.1:10010/exec/${canary}` })
        },
        image: {
          PullImage: () =>
            Effect.fail(
              Object.assign(new InvalidRequest({ field: "image", reason: `GET ${url}` }), {
                cause: new Error(`redirected to ${url}`)
              })
            )
        }
      })
      const auth = {
        username: "me",
        password: canary,
        auth: canary,
        serverAddress: `https://${canary}@reg.example`,
        identityToken: canary,
        registryToken: canary
      }
      const image = { ...PullImageRequest.decode(new Uint8Array()), auth, image: undefined }
      const pull = yield* Effect.flip(server.call("PullImage", image))
      const create = CreateContainerRequest.decode(
        CreateContainerRequest.encode({
          podSandboxId: "pod1",
          config: {
            metadata: { name: "web", attempt: 0 },
            image: undefined,
            command: [],
            args: [],
            workingDir: "",
            envs: [{ key: "PASSWORD", value: Buffer.from(canary) }],
            mounts: [],
            devices: [],
            labels: {},
            annotations: {},
            logPath: "",
            stdin: false,
            stdinOnce: false,
            tty: false,
            linux: undefined,
            windows: undefined,
            CDIDevices: [],
            stopSignal: 0
          },
          sandboxConfig: undefined
        }).finish()
      )
      yield* server.call("CreateContainer", create)
      yield* server.call("Exec", {
        containerId: "c1",
        cmd: ["sh"],
        tty: false,
        stdin: true,
        stdout: true,
        stderr: true
      })
      const start = yield* Effect.flip(server.call("StartContainer", { containerId: "c1" }))
      const log = (yield* LogLines).join("\n")
      assert.include(log, "PASSWORD=[redacted]")
      assert.include(log, "redirected to https://[redacted]@reg.example/v2/app/manifests/latest?[redacted]")
      assert.include(pull.details, "GET https://[redacted]@reg.example/v2/app/manifests/latest?[redacted]")
      assert.notInclude(log, canary)
      assert.notInclude(pull.details + start.details, canary)
    }).pipe(Effect.scoped, Effect.provide(environment("trace")))
  )
})

describe("causeChain", () => {
  it("goes down causes and reasons once each", () => {
    const inner = new Error("disk full")
    const loop = new Error("outer", { cause: new Error("middle: disk full", { cause: inner }) })
    inner.cause = loop
    assert.deepStrictEqual(causeChain(loop), ["outer", "middle: disk full"])
    assert.deepStrictEqual(causeChain({ reason: new Error("why") }), ["why"])
    assert.deepStrictEqual(causeChain(undefined), [])
  })
})
