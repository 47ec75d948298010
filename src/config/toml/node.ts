/** A parsed TOML value that still knows where it was written, whichever of file, environment or flag it came from. */

/** One place that gives configuration. `text` is what the excerpts of error messages are cut from. */
export interface Source {
  /** A file's path, `environment` or `command line`. */
  readonly name: string
  readonly text: string
  /** Messages give line and column in a file; a variable, a flag or a file as a whole has neither. */
  readonly kind: "file" | "whole"
}

/** A stretch of one line of a source. Line and column start at 1; column and length count UTF-16 units. */
export interface Place {
  readonly source: Source
  readonly line: number
  readonly column: number
  readonly length: number
}

export interface TomlEntry {
  readonly key: string
  readonly keyAt: Place
  readonly value: TomlNode
}

export type TomlTable = { readonly type: "table"; readonly at: Place; readonly entries: ReadonlyMap<string, TomlEntry> }

export type TomlNode =
  | { readonly type: "string"; readonly at: Place; readonly value: string }
  | { readonly type: "integer"; readonly at: Place; readonly value: number | bigint }
  | { readonly type: "float"; readonly at: Place; readonly value: number }
  | { readonly type: "boolean"; readonly at: Place; readonly value: boolean }
  | { readonly type: "date"; readonly at: Place; readonly value: string }
  | { readonly type: "array"; readonly at: Place; readonly items: ReadonlyArray<TomlNode> }
  | TomlTable
