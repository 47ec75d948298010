/** Rules between options, which no option can check alone. */
import { cipherSuiteNames } from "../model/CipherSuites.ts"
import type { Problem } from "./Problem.ts"
import { pathText } from "./spellings.ts"
import { suggest } from "./suggest.ts"
import { defaultDocument, toDocument } from "./document.ts"
import type { Members } from "./table/option.ts"
import { root, type SettingsShape } from "./table/tables.ts"
import type { Place } from "./toml/node.ts"
import { defaultsOfEntry, type Values } from "./values.ts"

/** The place of a key, or of what contains it where the key itself is not written. */
const placeOf = (places: ReadonlyMap<string, Place>, path: ReadonlyArray<string>): Place => {
  for (let length = path.length; length > 0; length--) {
    const place = places.get(pathText(path.slice(0, length)))
    if (place !== undefined) return place
  }
  return { source: { name: "defaults", text: "", kind: "whole" }, line: 1, column: 1, length: 1 }
}

/** TLS needs a certificate, and names of suites that there are. */
const checkTls = ({ api }: SettingsShape, places: ReadonlyMap<string, Place>): ReadonlyArray<Problem> => {
  const missing = (["stream_tls_cert", "stream_tls_key"] as const).filter(
    (key) => api.stream_enable_tls && api[key] === ""
  )
  const unknown = api.tls_cipher_suites.filter((name) => !cipherSuiteNames.includes(name))
  return [
    ...missing.map((key) => ({
      at: placeOf(places, ["crio", "api", "stream_enable_tls"]),
      text: `crio.api.stream_enable_tls needs crio.api.${key}`,
      expected: "the path of a PEM file"
    })),
    ...unknown.map((name) => {
      const near = suggest(name, cipherSuiteNames)
      return {
        at: placeOf(places, ["crio", "api", "tls_cipher_suites"]),
        text: `crio.api.tls_cipher_suites has ${JSON.stringify(name)}, which is no cipher suite that there is`,
        expected: 'IANA names such as "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"',
        ...(near === undefined ? {} : { suggestion: JSON.stringify(near) })
      }
    })
  ]
}

/** Errors in values that are valid one by one. */
export const checkSettings = (settings: SettingsShape, places: ReadonlyMap<string, Place>): ReadonlyArray<Problem> => {
  const problems: Array<Problem> = [...checkTls(settings, places)]
  const { default_runtime, runtimes, workloads } = settings.runtime
  if (!Object.hasOwn(runtimes, default_runtime)) {
    const near = suggest(default_runtime, Object.keys(runtimes))
    problems.push({
      at: placeOf(places, ["crio", "runtime", "default_runtime"]),
      text: `crio.runtime.default_runtime names the handler ${JSON.stringify(default_runtime)}, which crio.runtime.runtimes lacks`,
      expected: `one of ${Object.keys(runtimes)
        .map((name) => JSON.stringify(name))
        .join(", ")}`,
      ...(near === undefined ? {} : { suggestion: JSON.stringify(near) })
    })
  }
  for (const [name, handler] of Object.entries(runtimes)) {
    if (handler.runtime_config_path !== "" && handler.runtime_type !== "vm") {
      const path = ["crio", "runtime", "runtimes", name, "runtime_config_path"]
      problems.push({
        at: placeOf(places, path),
        text: `${pathText(path)} needs runtime_type = "vm"`,
        expected: `an empty string for a handler of type ${JSON.stringify(handler.runtime_type)}`
      })
    }
  }
  for (const [name, workload] of Object.entries(workloads)) {
    if (workload.activation_annotation !== "") continue
    problems.push({
      at: placeOf(places, ["crio", "runtime", "workloads", name]),
      text: `crio.runtime.workloads.${name} has no activation_annotation`,
      expected: "the name of the annotation that selects the workload"
    })
  }
  return problems
}

const changedOptions = (
  members: Members,
  values: Values,
  defaults: Values,
  path: ReadonlyArray<string>
): ReadonlyArray<string> =>
  Object.entries(members).flatMap(([key, member]): ReadonlyArray<string> => {
    const here = [...path, key]
    if (member.member === "option") {
      const same = member.kind.encode(values[key]) === member.kind.encode(defaults[key])
      return member.built || same ? [] : [pathText(here)]
    }
    if (member.member === "section") {
      return changedOptions(member.members, values[key] as Values, defaults[key] as Values, here)
    }
    const entries = Object.entries(values[key] as Values)
    if (!member.built) return entries.map(([name]) => pathText([...here, name]))
    return entries.flatMap(([name, entry]) =>
      changedOptions(member.members, entry as Values, defaultsOfEntry<Members>(member, name), [...here, name])
    )
  })

/** Options that differ from their defaults although nothing in Cricket looks at them yet, by TOML path. */
export const withoutEffect = (settings: SettingsShape): ReadonlyArray<string> =>
  changedOptions(root.members, toDocument(settings), defaultDocument, ["crio"])

const shortestTimeout = 30
const usualCreateTimeout = 240

/** Raises timeouts to the floor that CRI-O gives them: a runtime that is killed while it starts leaves a mess. */
export const raiseFloors = (settings: SettingsShape): SettingsShape => ({
  ...settings,
  runtime: {
    ...settings.runtime,
    ctr_stop_timeout: Math.max(shortestTimeout, settings.runtime.ctr_stop_timeout),
    runtimes: Object.fromEntries(
      Object.entries(settings.runtime.runtimes).map(([name, handler]) => [
        name,
        {
          ...handler,
          container_create_timeout:
            handler.container_create_timeout === 0
              ? usualCreateTimeout
              : Math.max(shortestTimeout, handler.container_create_timeout)
        }
      ])
    )
  }
})
