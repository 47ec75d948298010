import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { handler, image } from "./host.ts"
import { config, type Given, make, messageOf, request, secured } from "./containerSpecs.ts"

describe("devices", () => {
  const character = { kind: "character" as const, specialDevice: 0x0103, mode: 0o666 }
  const files = () => ({
    "/dev": { kind: "directory" as const },
    "/dev/null": character,
    "/dev/pts": { kind: "directory" as const },
    "/dev/pts/0": character,
    "/dev/dri": { kind: "directory" as const },
    "/dev/dri/card0": { ...character, specialDevice: 0xe200 },
    "/dev/dri/card1": { ...character, specialDevice: 0xe201 },
    "/dev/log": { kind: "socket" as const },
    "/plain": "text"
  })
  const device = (hostPath: string, containerPath: string, permissions = "rw") => ({
    hostPath,
    containerPath,
    permissions
  })

  it.effect("directories give all their devices", () =>
    Effect.gen(function* () {
      const { spec } = yield* make({
        host: { files: files() },
        config: config({ devices: [device("/dev/dri", "/gpu")] })
      })
      assert.deepStrictEqual(
        spec.linux.devices.map(({ path, major, minor }) => [path, major, minor]),
        [
          ["/gpu/card0", 226, 0],
          ["/gpu/card1", 226, 1]
        ]
      )
      assert.deepStrictEqual(spec.linux.resources.devices, [
        { allow: false, access: "rwm" },
        { allow: true, type: "c", major: 226, minor: 0, access: "rw" },
        { allow: true, type: "c", major: 226, minor: 1, access: "rw" }
      ])
    })
  )
  it.effect("privileged gets the host's, unless the handler says otherwise", () =>
    Effect.gen(function* () {
      const paths = (privileged_without_host_devices: boolean) =>
        Effect.map(
          make({
            host: { files: files() },
            config: secured({ privileged: true }),
            handler: { ...handler, options: { ...handler.options, privileged_without_host_devices } }
          }),
          ({ spec }) => spec.linux.devices.map(({ path }) => path)
        )
      assert.deepStrictEqual(yield* paths(false), ["/dev/dri/card0", "/dev/dri/card1", "/dev/null"])
      assert.deepStrictEqual(yield* paths(true), [])
    })
  )
  it.effect("in a user namespace those that are everybody's are the host's own", () =>
    Effect.gen(function* () {
      const range = [{ containerId: 0, hostId: 70_000, length: 65_536 }]
      const user = { path: "/user", ids: { uids: range, gids: range } }
      const own = { ...character, specialDevice: 0xe200, mode: 0o660 }
      const { spec } = yield* make({
        host: { files: { ...files(), "/dev/dri/card0": own } },
        namespaces: { ...request.namespaces, user },
        config: config({ devices: [device("/dev/dri", "/gpu", "r")] })
      })
      assert.deepStrictEqual(
        spec.linux.devices.map(({ path, fileMode }) => [path, fileMode]),
        [["/gpu/card0", 0o660]]
      )
      assert.deepInclude(spec.mounts, {
        destination: "/gpu/card1",
        type: "bind",
        source: "/dev/dri/card1",
        options: ["rbind", "rw", "rprivate", "nosuid", "noexec"]
      })
      assert.deepInclude(spec.linux.resources.devices ?? [], {
        allow: true,
        type: "c",
        major: 226,
        minor: 1,
        access: "r"
      })
    })
  )
  it.effect("additional_devices, ownership, and what is no device", () =>
    Effect.gen(function* () {
      const { spec } = yield* make({
        host: { files: files() },
        image: { ...image, User: "5:6" },
        settings: { additional_devices: ["/dev/null:/dev/other:r"], device_ownership_from_security_context: true }
      })
      assert.deepInclude(spec.linux.devices, {
        path: "/dev/other",
        type: "c",
        major: 1,
        minor: 3,
        fileMode: 0o666,
        uid: 5,
        gid: 6
      })
      const refused = config({ devices: [device("/plain", "/x")] })
      assert.match(yield* messageOf({ host: { files: files() }, config: refused }), /\/plain is neither a device/)
    })
  )
  it.effect("by the pod's annotation, where handler and allowed_devices let it", () =>
    Effect.gen(function* () {
      const host = { files: files() }
      const allowing = (...names: ReadonlyArray<string>) => ({
        ...handler,
        options: { ...handler.options, allowed_annotations: names }
      })
      const open = { handler: allowing("devices.crio.io"), settings: { allowed_devices: ["/dev/null"] } }
      const paths = (given: Given) =>
        Effect.map(make({ host, ...given }), ({ spec }) => spec.linux.devices.map(({ path }) => path))
      const podAnnotations = { "devices.crio.io": "/dev/null, /dev/null:/dev/other:r" }
      assert.deepStrictEqual(yield* paths({ ...open, podAnnotations }), ["/dev/null", "/dev/other"])
      const before = { "io.kubernetes.cri-o.Devices": "/dev/null" }
      assert.deepStrictEqual(yield* paths({ ...open, podAnnotations: before }), ["/dev/null"])
      assert.deepStrictEqual(yield* paths({ ...open, handler, podAnnotations }), [])
      const container = config({ annotations: podAnnotations })
      assert.deepStrictEqual(yield* paths({ ...open, config: container }), [], "a container's own says nothing")
      const other = { host, ...open, podAnnotations: { "devices.crio.io": "/dev/dri/card0" } }
      assert.match(
        yield* messageOf(other),
        /annotation devices.crio.io: \/dev\/dri\/card0 is not one of allowed_devices/
      )
      const wrong = { host, ...open, podAnnotations: { "devices.crio.io": "null" } }
      assert.match(yield* messageOf(wrong), /annotation devices.crio.io: "null" is not host:container:permissions/)
    })
  )
})
