/** What a thrown value says: anything may be thrown, and not only an Error has words. */
export const messageOf = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : String(thrown))
