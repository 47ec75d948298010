/** RuntimeService.StreamContainers: ListContainers in several messages. */
import type { StreamContainersRequest } from "../../gen/runtime/v1/api.ts"
import { Container } from "../../gen/runtime/v1/api.ts"
import { streamed } from "../streamed.ts"
import { containersLike } from "./listContainers.ts"

export const streamContainers = ({ filter }: StreamContainersRequest) => streamed(Container, containersLike(filter))
