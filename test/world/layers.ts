/** All services of the seam over a world, for one life of the daemon. */
import { Layer } from "effect"
import type { SecureRandom } from "effect/crypto"
import type { HttpClient } from "effect/http"
import type { Files } from "../../src/linux/Files.ts"
import type { LayerUnpacker } from "../../src/linux/LayerUnpacker.ts"
import type { Locks } from "../../src/linux/Locks.ts"
import type { Mounts } from "../../src/linux/Mounts.ts"
import type { Namespaces } from "../../src/linux/Namespaces.ts"
import type { Processes } from "../../src/linux/Processes.ts"
import type { Sockets } from "../../src/linux/Sockets.ts"
import type { StreamingTransport } from "../../src/streaming/Transport.ts"
import { filesLayer } from "./layers/files.ts"
import { httpClientLayer } from "./layers/httpClient.ts"
import { layerUnpackerLayer } from "./layers/layerUnpacker.ts"
import { locksLayer } from "./layers/locks.ts"
import { mountsLayer, namespacesLayer } from "./layers/mounts.ts"
import { processesLayer } from "./layers/processes.ts"
import { Seam } from "./layers/Seam.ts"
import { socketsLayer } from "./layers/sockets.ts"
import { secureRandomLayer, streamingTransportLayer } from "./layers/streaming.ts"
import type { Life, World } from "./World.ts"

export type SeamServices =
  | Files
  | HttpClient.HttpClient
  | LayerUnpacker
  | Locks
  | Mounts
  | Namespaces
  | Processes
  | SecureRandom.SecureRandom
  | Sockets
  | StreamingTransport

export const seamLayer = (world: World, life: Life): Layer.Layer<SeamServices> => {
  const seam = new Seam(world, life)
  return Layer.mergeAll(
    filesLayer(seam),
    httpClientLayer(seam),
    layerUnpackerLayer(seam),
    locksLayer(seam),
    mountsLayer(seam),
    namespacesLayer(seam),
    processesLayer(seam),
    secureRandomLayer(life.number),
    socketsLayer(seam),
    streamingTransportLayer(seam)
  )
}
