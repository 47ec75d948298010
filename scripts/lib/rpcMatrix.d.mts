/** The table of RPCs as it has to be. */
export const rpcMatrix: () => string

/** README.md with the table as it has to be. */
export const readmeWithMatrix: (readme: string) => string
