/** Media types of the OCI image specification and of Docker's image manifest version 2, schema 2. */

export const ociManifest = "application/vnd.oci.image.manifest.v1+json"
export const ociIndex = "application/vnd.oci.image.index.v1+json"
export const ociConfig = "application/vnd.oci.image.config.v1+json"
export const ociLayer = "application/vnd.oci.image.layer.v1.tar"
export const ociLayerGzip = `${ociLayer}+gzip`
export const ociLayerZstd = `${ociLayer}+zstd`

export const dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
export const dockerManifestList = "application/vnd.docker.distribution.manifest.list.v2+json"
export const dockerConfig = "application/vnd.docker.container.image.v1+json"
export const dockerLayer = "application/vnd.docker.image.rootfs.diff.tar"
export const dockerLayerGzip = `${dockerLayer}.gzip`
export const dockerLayerZstd = `${dockerLayer}.zstd`

/** Docker's first schema: refused, but recognised, so that the error can say so. */
export const dockerSchema1 = "application/vnd.docker.distribution.manifest.v1+json"
export const dockerSchema1Signed = "application/vnd.docker.distribution.manifest.v1+prettyjws"

/** What a client asks a registry for, in this order. */
export const acceptedManifests: ReadonlyArray<string> = [ociIndex, ociManifest, dockerManifestList, dockerManifest]

export const isIndexType = (mediaType: string): boolean => mediaType === ociIndex || mediaType === dockerManifestList
export const isManifestType = (mediaType: string): boolean => mediaType === ociManifest || mediaType === dockerManifest
export const isSchema1Type = (mediaType: string): boolean =>
  mediaType === dockerSchema1 || mediaType === dockerSchema1Signed

const configTypes: ReadonlySet<string> = new Set([ociConfig, dockerConfig])
export const isImageConfigType = (mediaType: string): boolean => configTypes.has(mediaType)

const foreignLayers = ["", "+gzip", "+zstd"].map(
  (suffix) => `application/vnd.oci.image.layer.nondistributable.v1.tar${suffix}`
)
const layerTypes: ReadonlySet<string> = new Set([
  ociLayer,
  ociLayerGzip,
  ociLayerZstd,
  dockerLayer,
  dockerLayerGzip,
  dockerLayerZstd,
  "application/vnd.docker.image.rootfs.foreign.diff.tar",
  "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
  ...foreignLayers
])

/**
 * A tar layer that can be unpacked. Which compression it has is read from its first bytes and not from here: registries
 * hold layers whose type and content disagree, and every runtime accepts them.
 */
export const isLayerType = (mediaType: string): boolean => layerTypes.has(mediaType)

/** "application/json; charset=utf-8" → "application/json". */
export const essence = (contentType: string): string => (contentType.split(";", 1)[0] ?? "").trim().toLowerCase()
