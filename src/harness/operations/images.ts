/** Operations on the spare image, which no container uses, and the removal of one that containers do use. */
import * as fc from "fast-check"
import { Effect } from "effect"
import { ImageSpec, ListImagesRequest, type PullImageResponse } from "../../gen/runtime/v1/api.ts"
import { type Cri, message } from "../Cri.ts"
import { runningContainers } from "../Model.ts"
import { answered, describe, type Operation, type Outcome, type Site, valueOf } from "../Operation.ts"

export const imageSpec = (image: string) => message(ImageSpec, { image, userSpecifiedImage: image })

export const pullImage = (cri: Cri, image: string) =>
  cri.call("pullImage", { image: imageSpec(image), auth: undefined, sandboxConfig: undefined }, { deadlineMs: 120_000 })

/** The id under which it is known; "" when it is not. */
const idOf = (cri: Cri, image: string) =>
  cri.call("imageStatus", { image: imageSpec(image), verbose: false }).pipe(Effect.map(({ image }) => image?.id ?? ""))

const isListed = (cri: Cri, id: string) =>
  cri
    .call("listImages", message(ListImagesRequest))
    .pipe(Effect.map(({ images }) => images.some((image) => image.id === id)))

const nothing = fc.constant({})

const pull: Operation = {
  name: "Pull",
  group: "images",
  weight: 2,
  parameters: nothing,
  prepare: ({ target, model, judge }) => {
    const { spare } = target.profile.images
    if (spare === undefined) return undefined
    const ask = pullImage(target.cri, spare)
    return {
      label: `PullImage ${spare}`,
      touches: () => [],
      mayTakeMs: 90_000,
      ask,
      retry: ask,
      check: Effect.fnUntraced(function* (outcome: Outcome) {
        if (outcome._tag === "Unknown") {
          model.spare = undefined
          return
        }
        if (!(yield* judge.hold("image.pull", answered(outcome), () => `PullImage ${spare}: ${describe(outcome)}`)))
          return
        model.spare = true
        const { imageRef } = valueOf<PullImageResponse>(outcome)
        const id = yield* idOf(target.cri, spare)
        yield* judge.hold("image.pull", id === imageRef, () => `PullImage gave ${imageRef}, ImageStatus ${id}`)
        const listed = yield* isListed(target.cri, id)
        yield* judge.hold("image.list", listed, () => `${spare} was pulled as ${id} and is not listed`)
      })
    }
  }
}

const remove: Operation = {
  name: "RemoveImage",
  group: "images",
  weight: 2,
  alone: true,
  parameters: nothing,
  prepare: ({ target, model, judge }: Site) => {
    const { spare } = target.profile.images
    if (spare === undefined) return undefined
    const ask = target.cri.call("removeImage", { image: imageSpec(spare) })
    return {
      label: `RemoveImage ${spare}`,
      touches: () => [],
      ask,
      retry: ask,
      check: Effect.fnUntraced(function* (outcome: Outcome) {
        if (outcome._tag === "Unknown") {
          model.spare = undefined
          return
        }
        yield* judge.hold("image.remove", answered(outcome), () => `RemoveImage ${spare}: ${describe(outcome)}`)
        model.spare = false
      })
    }
  }
}

const status: Operation = {
  name: "ImageStatus",
  group: "images",
  weight: 1,
  alone: true,
  parameters: nothing,
  prepare: ({ target, model, judge }: Site) => {
    const { spare } = target.profile.images
    if (spare === undefined) return undefined
    return {
      label: `ImageStatus ${spare}`,
      touches: () => [],
      ask: idOf(target.cri, spare),
      check: Effect.fnUntraced(function* (outcome: Outcome) {
        if (outcome._tag === "Unknown") return
        const says = () => `ImageStatus ${spare}: ${describe(outcome)}`
        if (!(yield* judge.hold("image.list", answered(outcome), says)) || model.spare === undefined) return
        const isThere = valueOf<string>(outcome) !== ""
        const expected = model.spare
        yield* judge.hold(
          "image.list",
          isThere === expected,
          () =>
            `${spare} was ${expected ? "pulled" : "removed"}, and ImageStatus ${isThere ? "finds it" : "does not find it"}`
        )
      })
    }
  }
}

/** A runtime may refuse it; containers that stand on the image go on in any case. Those that come want it back. */
const removeUsed: Operation = {
  name: "RemoveUsedImage",
  group: "images",
  weight: 1,
  alone: true,
  parameters: nothing,
  prepare: ({ target, model, judge }: Site) => {
    const { main } = target.profile.images
    const running = runningContainers(model)
    const [container] = running
    if (container === undefined) return undefined
    const label = `RemoveImage ${main}, which containers use`
    return {
      label,
      touches: () => running.map((object) => ({ object })),
      mayTakeMs: 90_000,
      compared: () => undefined,
      ask: Effect.gen(function* () {
        const removed = yield* Effect.match(target.cri.call("removeImage", { image: imageSpec(main) }), {
          onFailure: ({ code, details }) => ({ code, details }),
          onSuccess: () => undefined
        })
        const lives = yield* target.cri.call("execSync", {
          containerId: container.id,
          cmd: ["echo", "on"],
          timeout: 10n
        })
        yield* pullImage(target.cri, main)
        return { removed, text: Buffer.from(lives.stdout).toString("latin1") }
      }),
      check: Effect.fnUntraced(function* (outcome: Outcome) {
        if (outcome._tag === "Unknown") return
        if (!(yield* judge.hold("image.remove.used", answered(outcome), () => `${label}: ${describe(outcome)}`))) return
        const { removed, text } = valueOf<{ readonly removed?: { readonly code: string }; readonly text: string }>(
          outcome
        )
        yield* judge.hold(
          "image.remove.used",
          removed?.code !== "INTERNAL" && text === "on\n",
          () => `${label}: ${removed?.code ?? "it succeeded"}; ExecSync afterwards gave ${JSON.stringify(text)}`
        )
      })
    }
  }
}

export const imageOperations: ReadonlyArray<Operation> = [pull, remove, status, removeUsed]
