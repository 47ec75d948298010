export const crictlPath: string
export const critestPath: string

/** Builds crictl and fetches everything that critest needs, so that `buildCritest` needs no network. */
export const prepareGoTools: () => void

/** critest with the digest (algorithm included) of the image that stands for its test-image-digest. Its path. */
export const buildCritest: (digest: string) => string
