// `node scripts/complete-lock.mjs` after a change of package-lock.json. npm leaves packages for other platforms out of
// the lock file when the registry in use does not carry them, and `npm ci` then refuses the file everywhere. This puts
// them in by name, with the platform that their name says: npm has nothing to look up and nothing to install.
import { readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

const path = fileURLToPath(new URL("../package-lock.json", import.meta.url))
const lock = JSON.parse(readFileSync(path, "utf8"))

const processors = { aarch64: "arm64", armv7: "arm" }

const platformOf = (name) => {
  if (name.endsWith("-wasm32-wasi")) return { cpu: ["wasm32"] }
  const [, system, processor, abi] = /-(android|darwin|freebsd|linux|openharmony|win32)-([^-]+)(?:-(.+))?$/.exec(name)
  const platform = { cpu: [processors[processor] ?? processor], os: [system] }
  return abi?.startsWith("musl") ? { ...platform, libc: ["musl"] } : platform
}

/** Where Node looks for a package that the one at `location` names, nearest first. */
const placesFor = (location, name) => {
  const parts = location.split("/node_modules/")
  return parts.map((_, depth) => `${parts.slice(0, parts.length - depth).join("/node_modules/")}/node_modules/${name}`)
}

for (const [location, entry] of Object.entries({ ...lock.packages })) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const places = [...placesFor(location, name), `node_modules/${name}`]
    const found = places.find((place) => place in lock.packages)
    const isRange = !/^\d/.test(version)
    if (found !== undefined && (isRange || lock.packages[found].version === version)) continue
    const place = found === undefined ? `node_modules/${name}` : places[1]
    lock.packages[place] = {
      version,
      optional: true,
      ...(entry.dev === true ? { dev: true } : {}),
      ...platformOf(name)
    }
  }
}

lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => a.localeCompare(b, "en")))
writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`)
