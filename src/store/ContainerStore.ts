/** Writable layers of containers and pods, and their overlay mounts. */
import { Context, type Effect, Layer } from "effect"
import type { UserNamespace } from "../linux/IdMapping.ts"
import { makeContainerStore } from "./internal/containerStore.ts"
import { StoreRoot } from "./internal/StoreRoot.ts"
import type { StoreError } from "./StoreError.ts"

export interface NewContainerLayer {
  /** 64 hex digits: the CRI container or sandbox id. */
  readonly id: string
  readonly name: string
  /** The image whose top layer lies below. */
  readonly imageId: string
  /** Owner's JSON, kept in containers.json ("pod-id", "container-name" …). */
  readonly metadata: string
  /** The layer is for use in it: what belongs to somebody on disk belongs to the same id there. */
  readonly userNamespace?: UserNamespace | undefined
}

export interface StoredContainer {
  readonly id: string
  readonly names: ReadonlyArray<string>
  readonly imageId: string
  readonly layerId: string
  readonly metadata: string
  readonly createdMs: number
}

export class ContainerStore extends Context.Service<
  ContainerStore,
  {
    /** No I/O. */
    readonly list: Effect.Effect<ReadonlyArray<StoredContainer>>
    /** Makes the record and its empty writable layer. */
    readonly create: (request: NewContainerLayer) => Effect.Effect<StoredContainer, StoreError>
    /**
     * Mounts the overlay and answers the root file system's path; mounting again answers the same path. A layer that was
     * made for a user namespace is mounted with it.
     */
    readonly mount: (id: string, userNamespace?: UserNamespace) => Effect.Effect<string, StoreError>
    /** The same, for reading only: without devices and set-user-ID. */
    readonly mountVolume: (id: string, userNamespace?: UserNamespace) => Effect.Effect<string, StoreError>
    /** Succeeds when it is not mounted or unknown. */
    readonly unmount: (id: string) => Effect.Effect<void, StoreError>
    /** Unmounts, removes the writable layer and the record; succeeds when it is gone, repairs what a crash left half-done. */
    readonly remove: (id: string) => Effect.Effect<void, StoreError>
    /** Persistent directory of a container for its owner (config.json, records). Made by `create`. */
    readonly directory: (id: string) => string
    /** Directory on tmpfs for run-time files. Made by `create`. */
    readonly runDirectory: (id: string) => string
    /** A directory on the file system of the writable layers, the same that `ImageStore.usage` names. */
    readonly mountpoint: string
    /** Bytes and inodes of the writable layer: a walk through all its files. */
    readonly usage: (id: string) => Effect.Effect<{ readonly bytes: bigint; readonly inodes: bigint }, StoreError>
  }
>()("cricket/store/ContainerStore") {
  /** Needs Files, Locks, Mounts and StoreSettings. */
  static readonly layer = Layer.effect(ContainerStore, makeContainerStore).pipe(Layer.provide(StoreRoot.layer))
}
