import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { environmentOverrides, makeOverride } from "../../src/config/overrides.ts"
import { load } from "./support.ts"

const main = "/etc/crio/crio.conf"
const dropIn = (name: string) => `/etc/crio/crio.conf.d/${name}`
const flag = (path: string, text: string) => makeOverride(path.split("."), "command line", "--x=", text)

const problems = (content: Readonly<Record<string, string>>, change: Parameters<typeof load>[1] = {}) =>
  Effect.map(Effect.flip(load(content, change)), (error) => error.problems)

describe("sources", () => {
  it.effect("later ones win: file, drop-ins in lexical order, environment, flags", () =>
    Effect.gen(function* () {
      const files = {
        [main]: '[crio]\nroot = "/1"\nrunroot = "/1"\nlog_dir = "/1"\nimagestore = "/1"\nversion_file = "/1"\n',
        [dropIn("20.conf")]: '[crio]\nlog_dir = "/20"\nimagestore = "/20"\nversion_file = "/20"\n',
        [dropIn("10.conf")]: '[crio]\nrunroot = "/10"\nlog_dir = "/10"\n',
        [dropIn("15/a.conf")]: '[crio]\nversion_file_persist = "/15"\n'
      }
      const { settings, files: read } = yield* load(files, {
        environment: environmentOverrides({
          CONTAINER_IMAGESTORE: "/env",
          CONTAINER_VERSION_FILE: "/env",
          CONTAINER_ROOT: ""
        }),
        flags: [flag("crio.version_file", "/flag")]
      })
      const { root, runroot, log_dir, imagestore, version_file, version_file_persist } = settings.crio
      assert.deepStrictEqual(
        { root, runroot, log_dir, imagestore, version_file, version_file_persist },
        {
          root: "/1",
          runroot: "/10",
          log_dir: "/20",
          imagestore: "/env",
          version_file: "/flag",
          version_file_persist: "/15"
        }
      )
      assert.deepStrictEqual(read, [main, dropIn("10.conf"), dropIn("15/a.conf"), dropIn("20.conf")])
    })
  )

  it.effect("arrays and handlers are replaced, tables merged", () =>
    Effect.gen(function* () {
      const { settings } = yield* load({
        [main]: [
          "[crio.runtime]",
          'default_env = ["A=1", "B=2"]',
          "[crio.runtime.runtimes.crun]",
          'runtime_path = "/one"',
          'monitor_path = "/conmon"',
          "[crio.runtime.runtimes.kata]",
          'runtime_type = "vm"'
        ].join("\n"),
        [dropIn("1.conf")]: 'crio.runtime.default_env = ["C=3"]\n[crio.runtime.runtimes.crun]\nruntime_path = "/two"\n'
      })
      assert.deepStrictEqual(settings.runtime.default_env, ["C=3"])
      assert.deepStrictEqual(Object.keys(settings.runtime.runtimes), ["crun", "runc", "kata"])
      const crun = settings.runtime.runtimes["crun"]
      assert.strictEqual(crun?.runtime_path, "/two")
      assert.strictEqual(crun?.monitor_path, "")
      assert.strictEqual(crun?.runtime_root, "/run/crun")
    })
  )

  it.effect("a repeated flag adds to its list, and the list replaces that of the environment", () =>
    Effect.gen(function* () {
      const { settings } = yield* load(
        {},
        {
          environment: environmentOverrides({ CONTAINER_DEFAULT_ENV: "E=1" }),
          flags: [flag("crio.runtime.default_env", "A=1,B=2"), flag("crio.runtime.default_env", "C=3")]
        }
      )
      assert.deepStrictEqual(settings.runtime.default_env, ["A=1", "B=2", "C=3"])
    })
  )

  it.effect("takes handlers from the flag --runtimes", () =>
    Effect.gen(function* () {
      const flags = ["kata:/usr/bin/kata:/run/kata:vm:true:/etc/kata.toml:64MiB", "youki:/usr/bin/youki:"].map((text) =>
        flag("crio.runtime.runtimes", text)
      )
      const { runtimes } = (yield* load({}, { flags })).settings.runtime
      assert.deepStrictEqual(Object.keys(runtimes), ["crun", "runc", "kata", "youki"])
      assert.include(runtimes["kata"], {
        runtime_path: "/usr/bin/kata",
        runtime_root: "/run/kata",
        runtime_type: "vm",
        privileged_without_host_devices: true,
        runtime_config_path: "/etc/kata.toml",
        container_min_memory: 64 * 1024 * 1024
      })
      const [problem] = yield* problems({}, { flags: [flag("crio.runtime.runtimes", "kata")] })
      assert.match(problem ?? "", /NAME:PATH:ROOT/)
    })
  )

  it.effect("only a file that somebody named has to exist", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual((yield* load({})).files, [])
      assert.deepStrictEqual(yield* problems({}, { fileRequired: true }), [
        `${main}: cannot be read: open ${main}: ENOENT`
      ])
      assert.deepStrictEqual(yield* problems({ [main]: "EACCES" }), [`${main}: cannot be read: open ${main}: EACCES`])
    })
  )

  it.effect("raises the timeouts that have a floor", () =>
    Effect.gen(function* () {
      const { settings } = yield* load({
        [main]:
          "[crio.runtime]\nctr_stop_timeout = 3\n[crio.runtime.runtimes.runc]\ncontainer_create_timeout = 1\n[crio.runtime.runtimes.usual]\ncontainer_create_timeout = 0\n"
      })
      assert.strictEqual(settings.runtime.ctr_stop_timeout, 30)
      assert.strictEqual(settings.runtime.runtimes["runc"]?.container_create_timeout, 30)
      // Not set, for CRI-O.
      assert.strictEqual(settings.runtime.runtimes["usual"]?.container_create_timeout, 240)
    })
  )
})

describe("errors", () => {
  it.effect("all of a run, each with place, excerpt, caret, expectation and suggestion", () =>
    Effect.gen(function* () {
      const found = yield* problems(
        {
          [main]: '[crio.runtime]\ncgroup_manager = "cgroup"\n\tpids_limit = "many"\n',
          [dropIn("1.conf")]: "[crio.api\n",
          [dropIn("2.conf")]: '[crio.runtime]\ndefault_env = ["A=1",\n  "größe", 5]\n'
        },
        {
          environment: environmentOverrides({ CONTAINER_LOG_LEVEL: "wran" }),
          flags: [makeOverride(["crio", "root"], "command line", "--root ", "store")]
        }
      )
      assert.deepStrictEqual(found, [
        [
          `${main}:2:18: crio.runtime.cgroup_manager has an invalid value`,
          '  2 | cgroup_manager = "cgroup"',
          '    |                  ^^^^^^^^ expected "systemd" or "cgroupfs"',
          '  did you mean "cgroupfs"?'
        ].join("\n"),
        [
          `${main}:3:15: crio.runtime.pids_limit has the wrong type: a string`,
          '  3 | \tpids_limit = "many"',
          "    | \t             ^^^^^^ expected an integer"
        ].join("\n"),
        [
          `${dropIn("1.conf")}:1:10: not valid TOML: expected table closing "]", found end of file`,
          "  1 | [crio.api",
          "    |          ^"
        ].join("\n"),
        [
          `${dropIn("2.conf")}:3:3: crio.runtime.default_env has an invalid value`,
          '  3 |   "größe", 5]',
          '    |   ^^^^^^^ expected "KEY=VALUE"'
        ].join("\n"),
        [
          `${dropIn("2.conf")}:3:12: crio.runtime.default_env has the wrong type: an integer`,
          '  3 |   "größe", 5]',
          '    |            ^ expected "KEY=VALUE"'
        ].join("\n"),
        [
          "environment: crio.runtime.log_level has an invalid value",
          "   | CONTAINER_LOG_LEVEL=wran",
          '   |                     ^^^^ expected "fatal", "panic", "error", "warn", "info", "debug" or "trace"',
          '  did you mean "warn"?'
        ].join("\n"),
        [
          "command line: crio.root has an invalid value",
          "   | --root store",
          "   |        ^^^^^ expected an absolute path"
        ].join("\n")
      ])
    })
  )

  it.effect("count in the message", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(load({ [main]: "crio = 1\n" }))
      assert.match(
        error.message,
        /crio has the wrong type: an integer[^]*expected a table[^]*\n\n1 error in the configuration$/
      )
    })
  )

  it.effect("rules between options", () =>
    Effect.gen(function* () {
      const found = yield* problems({
        [main]: [
          "[crio.runtime]",
          'default_runtime = "cruun"',
          "[crio.runtime.runtimes.runc]",
          'runtime_config_path = "/etc/x"',
          "[crio.runtime.workloads.w]",
          'annotation_prefix = "a"'
        ].join("\n")
      })
      assert.strictEqual(found.length, 3)
      assert.match(
        found[0] ?? "",
        /:2:19: crio\.runtime\.default_runtime names the handler "cruun"[^]*did you mean "crun"/
      )
      assert.match(found[1] ?? "", /:4:23: .*needs runtime_type = "vm"/)
      assert.match(found[2] ?? "", /:5:2: crio\.runtime\.workloads\.w has no activation_annotation/)
    })
  )

  it.effect("TLS without its files, and cipher suites that nobody has", () =>
    Effect.gen(function* () {
      const found = yield* problems({
        [main]: [
          "[crio.api]",
          "stream_enable_tls = true",
          'stream_tls_cert = "/etc/stream.crt"',
          'tls_cipher_suites = ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA265", "TLS_AES_128_GCM_SHA256"]'
        ].join("\n")
      })
      assert.strictEqual(found.length, 2)
      assert.match(found[0] ?? "", /:2:21: crio\.api\.stream_enable_tls needs crio\.api\.stream_tls_key/)
      assert.match(found[1] ?? "", /:4:21: .*SHA265[^]*did you mean "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"/)
    })
  )
})

describe("warnings", () => {
  it.effect("unknown keys with a suggestion, keys in the wrong table with the right one", () =>
    Effect.gen(function* () {
      const { warnings } = yield* load({
        [main]:
          '[crio.runtime]\npids_limitt = 5\npause_image = "x"\n[crio.zzz]\n[other]\n[crio.runtime.runtimes.runc]\nruntime_pth = "/x"\n'
      })
      assert.deepStrictEqual(
        warnings.map((warning) => [warning.split("\n")[0], warning.split("\n").at(-1)]),
        [
          [`${main}:2:1: unknown key crio.runtime.pids_limitt is ignored`, "  did you mean pids_limit?"],
          [`${main}:3:1: unknown key crio.runtime.pause_image is ignored`, "  did you mean crio.image.pause_image?"],
          [
            `${main}:7:1: unknown key crio.runtime.runtimes.runc.runtime_pth is ignored`,
            "  did you mean runtime_path?"
          ],
          [`${main}:4:2: unknown table crio.zzz is ignored`, "    |  ^^^^^^^^"],
          [`${main}:5:2: unknown table other is ignored`, "    |  ^^^^^"]
        ]
      )
    })
  )

  it.effect("one line names every option without effect", () =>
    Effect.gen(function* () {
      const { warnings } = yield* load({
        [main]: [
          "[crio.tracing]",
          "enable_tracing = true",
          'tracing_endpoint = "127.0.0.1:4317"',
          "[crio.runtime.runtimes.kata]",
          'runtime_type = "vm"',
          "[crio.runtime.workloads.w]",
          'activation_annotation = "a"'
        ].join("\n")
      })
      assert.deepStrictEqual(warnings, [
        "accepted, but not built yet and without effect: crio.runtime.runtimes.kata.runtime_type, crio.runtime.workloads.w, crio.tracing.enable_tracing"
      ])
    })
  )

  it.effect("deprecated keys and drop-ins that are skipped", () =>
    Effect.gen(function* () {
      const { warnings } = yield* load({
        [main]: '[crio.network]\nplugin_dir = "/x"\n',
        [dropIn("10-crun.toml")]: "not read ["
      })
      assert.match(warnings[0] ?? "", /crio\.network\.plugin_dir is deprecated: use plugin_dirs/)
      assert.strictEqual(warnings[1], `${dropIn("10-crun.toml")}: is ignored: its name does not end in .conf`)
    })
  )
})
