/** Patterns of `pinned_images` (crio.conf(5)): an exact name, "prefix*", or "*keyword*". */

export const matchesPattern = (pattern: string, name: string): boolean => {
  const starts = pattern.startsWith("*")
  const ends = pattern.endsWith("*")
  if (starts && ends) return name.includes(pattern.slice(1, -1))
  return ends ? name.startsWith(pattern.slice(0, -1)) : name === pattern
}
