/** Versions of the CNI specification. */

/** What Cricket speaks, lowest first. */
export const spokenVersions: ReadonlyArray<string> = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]

/** The version of a configuration that names none (libcni). */
export const unnamedVersion = "0.1.0"

/** True when `version`, one of the spoken ones, is at least `least`. */
export const isAtLeast = (version: string, least: string): boolean =>
  spokenVersions.indexOf(version) >= spokenVersions.indexOf(least)

/** The spoken ones among `versions`, highest first. */
export const bestFirst = (versions: ReadonlyArray<string>): ReadonlyArray<string> =>
  spokenVersions.filter((version) => versions.includes(version)).toReversed()
