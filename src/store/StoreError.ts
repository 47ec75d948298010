/** Everything that the stores of images and containers can answer instead of success. */
import { Schema } from "effect"
import { LinuxError } from "../linux/LinuxError.ts"

/** The file system or a lock refused; `object` is the image, layer or container concerned, or the store's file. */
export class StoreIo extends Schema.TaggedError<StoreIo>()("StoreIo", {
  operation: Schema.String,
  object: Schema.String,
  cause: LinuxError
}) {
  override get message(): string {
    return `store: ${this.operation} ${this.object}: ${this.cause.message}`
  }
}

/** A file of the store is not what it must be; nothing was changed. */
export class StoreCorrupt extends Schema.TaggedError<StoreCorrupt>()("StoreCorrupt", {
  path: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `store: ${this.path}: ${this.reason}`
  }
}

export class ImageNotFound extends Schema.TaggedError<ImageNotFound>()("ImageNotFound", { imageId: Schema.String }) {
  override get message(): string {
    return `image ${this.imageId} is not in the store`
  }
}

/** Containers, ours or another program's, have their file system on the image. */
export class ImageInUse extends Schema.TaggedError<ImageInUse>()("ImageInUse", {
  imageId: Schema.String,
  containers: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `image ${this.imageId} is used by container ${this.containers.join(", ")}: remove it first`
  }
}

/** A layer that an image was to stand on is gone or half-made: somebody removed it meanwhile. Pulling again helps. */
export class LayerMissing extends Schema.TaggedError<LayerMissing>()("LayerMissing", {
  layer: Schema.String,
  imageId: Schema.String
}) {
  override get message(): string {
    return `image ${this.imageId}: layer ${this.layer} is not in the store any more; pull the image again`
  }
}

/** Bytes are not what their digest says. */
export class DigestMismatch extends Schema.TaggedError<DigestMismatch>()("DigestMismatch", {
  object: Schema.String,
  expected: Schema.String,
  actual: Schema.String
}) {
  override get message(): string {
    return `${this.object}: expected ${this.expected}, the content is ${this.actual}`
  }
}

/** The image's own documents do not fit together. */
export class ImageInvalid extends Schema.TaggedError<ImageInvalid>()("ImageInvalid", {
  imageId: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `image ${this.imageId}: ${this.reason}`
  }
}

export class ContainerNotFound extends Schema.TaggedError<ContainerNotFound>()("ContainerNotFound", {
  id: Schema.String
}) {
  override get message(): string {
    return `container ${this.id} is not in the store`
  }
}

/** Names are unique in the store, also among other programs' containers. */
export class ContainerNameInUse extends Schema.TaggedError<ContainerNameInUse>()("ContainerNameInUse", {
  id: Schema.String,
  name: Schema.String,
  holder: Schema.String
}) {
  override get message(): string {
    return `container ${this.id}: the name ${JSON.stringify(this.name)} belongs to container ${this.holder}`
  }
}

/** The file system below the store shows its files with their own owners only. */
export class LayersNotMappable extends Schema.TaggedError<LayersNotMappable>()("LayersNotMappable", {
  id: Schema.String,
  path: Schema.String
}) {
  override get message(): string {
    return `container ${this.id}: the file system of ${this.path} has no idmapped mounts, which user namespaces need; keep the storage root on ext4, xfs or btrfs, or run the pod without a user namespace`
  }
}

/** mount(2) takes one page of options, which the names of this many directories fill. */
export class TooManyLayers extends Schema.TaggedError<TooManyLayers>()("TooManyLayers", {
  id: Schema.String,
  layers: Schema.Int
}) {
  override get message(): string {
    return `container ${this.id}: ${this.layers} layers are more than one overlay mount takes; use an image with fewer layers`
  }
}

export type StoreError =
  | StoreIo
  | StoreCorrupt
  | ImageNotFound
  | ImageInUse
  | LayerMissing
  | DigestMismatch
  | ImageInvalid
  | ContainerNotFound
  | ContainerNameInUse
  | LayersNotMappable
  | TooManyLayers

/** For `Effect.mapError`: a refused system call, told with what the store was about. */
export const ioError =
  (operation: string, object: string) =>
  (cause: LinuxError): StoreIo =>
    new StoreIo({ operation, object, cause })
