/** What a container runtime could leave behind on a host. Opaque: for `differences` alone. */
export interface HostState {
  readonly processes: ReadonlyArray<unknown>
}

/** `contained`: what is looked for ran in a PID namespace of its own; processes in this one are other people's. */
export const hostState: (options?: { readonly contained?: boolean }) => HostState

/** One line per thing that is there now and was not, or was there and is not. Empty when the host is as before. */
export const differences: (before: HostState, after: HostState) => ReadonlyArray<string>

/** The differences once things have had time to end; `limit` in milliseconds, 10 000 unless told. */
export const settledDifferences: (
  before: HostState,
  options?: { readonly contained?: boolean; readonly limit?: number }
) => Promise<ReadonlyArray<string>>
