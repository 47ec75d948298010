/** Images and their read-only layers in the containers/storage layout, shared with podman, skopeo and buildah. */
import { Context, type Effect, Layer, type Scope, type Stream } from "effect"
import type { Compression, UnpackError } from "../linux/LayerUnpacker.ts"
import type { ImageConfig } from "../model/ImageConfig.ts"
import { makeImageStore } from "./internal/imageStore.ts"
import { StoreRoot } from "./internal/StoreRoot.ts"
import type { StoreError } from "./StoreError.ts"

/** An image as the store's index holds it. */
export interface StoredImage {
  /** Hex of the config's digest, without "sha256:". */
  readonly id: string
  /** "sha256:…" of the manifest. */
  readonly manifestDigest: string
  /** Full names with a tag or digest: "docker.io/library/busybox:latest", "quay.io/a/b@sha256:…". */
  readonly names: ReadonlyArray<string>
  /** Absent only for an image without layers. */
  readonly topLayer: string | undefined
  /** Bytes: the uncompressed layers plus manifest and config. Above 0. */
  readonly size: number
  readonly createdMs: number
  readonly config: ImageConfig
}

/** An immutable view; a new one replaces it when this or another program changes the store. */
export interface ImageSnapshot {
  readonly images: ReadonlyArray<StoredImage>
  readonly byId: ReadonlyMap<string, StoredImage>
  readonly byName: ReadonlyMap<string, StoredImage>
}

export interface LayerSource<E> {
  /** "sha256:…" that the uncompressed tar must have (the config's rootfs.diff_ids entry). */
  readonly diffId: string
  /** "sha256:…" that the blob must have. */
  readonly blobDigest: string
  /** Bytes that the blob must have. */
  readonly blobSize: number
  readonly compression: Compression
  readonly blob: Stream.Stream<Uint8Array, E>
}

/** A layer that is unpacked and verified but not yet part of the store; closing its scope before commit removes it. */
export interface StagedLayer {
  readonly diffId: string
  readonly blobDigest: string
  readonly token: string
}

export interface NewImage {
  /** Raw bytes, kept unchanged. */
  readonly manifest: Uint8Array
  readonly manifestDigest: string
  readonly config: Uint8Array
  readonly names: ReadonlyArray<string>
  /** Base first, one per diffID of the config: staged, or a leading layer that `existingLayers` counted. */
  readonly layers: ReadonlyArray<StagedLayer | { /** The diffID. */ readonly existing: string }>
}

export class ImageStore extends Context.Service<
  ImageStore,
  {
    /** No I/O. */
    readonly snapshot: Effect.Effect<ImageSnapshot>
    /** One element whenever the snapshot has been replaced. */
    readonly changes: Stream.Stream<ImageSnapshot>
    /** Raw manifest bytes. */
    readonly manifest: (imageId: string) => Effect.Effect<Uint8Array, StoreError>
    /** How many leading layers of a chain (base first) the store holds completely. */
    readonly existingLayers: (diffIds: ReadonlyArray<string>) => Effect.Effect<number, StoreError>
    /** Unpacks and verifies a layer; staging of several layers runs in parallel. */
    readonly stageLayer: <E>(
      source: LayerSource<E>
    ) => Effect.Effect<StagedLayer, StoreError | UnpackError | E, Scope.Scope>
    /** Makes the image visible with all its layers, or nothing. Names move here from other images. */
    readonly commit: (image: NewImage) => Effect.Effect<StoredImage, StoreError>
    /** Gives an existing image further names, taken from other images where they had them. */
    readonly addNames: (imageId: string, names: ReadonlyArray<string>) => Effect.Effect<void, StoreError>
    /** Removes the image with all its names and the layers that nobody else uses; succeeds when it is gone. */
    readonly remove: (imageId: string) => Effect.Effect<void, StoreError>
    /** The file system of the image layers; bytes and inodes used by the store. */
    readonly usage: Effect.Effect<
      { readonly mountpoint: string; readonly usedBytes: bigint; readonly usedInodes: bigint },
      StoreError
    >
  }
>()("cricket/store/ImageStore") {
  /** Needs Files, Locks, Mounts, LayerUnpacker and StoreSettings. */
  static readonly layer = Layer.effect(ImageStore, makeImageStore).pipe(Layer.provide(StoreRoot.layer))
}
