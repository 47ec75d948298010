export const crictlPath: string
export const critestPath: string

/** Of a Go that is new enough; throws if this machine has none. */
export const goPath: () => string

/** Builds crictl and fetches everything that critest needs, so that `buildCritest` needs no network. */
export const prepareGoTools: () => void

/** critest with the digest (algorithm included) of the image that stands for its test-image-digest. Its path. */
export const buildCritest: (digest: string) => string
