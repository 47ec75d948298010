/** The objects that a request is about, as annotations of every log line and span of its RPC. */

const text = (value: unknown): string | undefined => (typeof value === "string" && value !== "" ? value : undefined)

const record = (value: unknown): Record<string, unknown> =>
  typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {}

/**
 * Reads the id fields that CRI requests share: `pod_sandbox_id`, `container_id`, `image.image`, and the identity in
 * `config.metadata` (of a pod: namespace/name, its uid and attempt; of a container: its name).
 */
export const requestIds = (request: unknown): Record<string, string> => {
  const fields = record(request)
  const metadata = record(record(fields["config"])["metadata"])
  const name = text(metadata["name"])
  const namespace = text(metadata["namespace"])
  const ids = {
    sandbox: text(fields["podSandboxId"]),
    container: text(fields["containerId"]) ?? (namespace === undefined ? name : undefined),
    image: text(record(fields["image"])["image"]),
    pod: namespace === undefined ? undefined : `${namespace}/${name ?? ""}`,
    uid: text(metadata["uid"]),
    attempt: metadata["attempt"] === undefined ? undefined : String(metadata["attempt"])
  }
  return Object.fromEntries(Object.entries(ids).filter((entry): entry is [string, string] => entry[1] !== undefined))
}
