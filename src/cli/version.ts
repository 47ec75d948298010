/** What this program is. */

/** The version in package.json, of which a bundle has no copy at hand; a test keeps them equal. */
export const version = "0.1.0"

export const versionFields = () => ({
  version,
  criVersion: "v1",
  nodeVersion: process.versions.node,
  platform: `linux/${process.arch === "x64" ? "amd64" : process.arch}`
})
