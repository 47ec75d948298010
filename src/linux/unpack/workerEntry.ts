/** Where an unpack worker's code is: beside this file in the source tree, in the bundle itself once there is one file. */

/** `moduleUrl` is the `import.meta.url` of the code that runs: the bundle's for all of it, or this file's. */
export const unpackWorkerUrl = (moduleUrl: string = import.meta.url): URL =>
  moduleUrl.endsWith(".ts") ? new URL("./worker.ts", moduleUrl) : new URL(moduleUrl)
