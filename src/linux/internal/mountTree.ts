/** Mounts that are made before they are attached: the only ones whose ids can be mapped (mount_setattr(2)). */
import { checkedAsync, type Fd, O_CLOEXEC } from "./native.ts"

const SYS_OPEN_TREE = 428
const SYS_MOVE_MOUNT = 429
const SYS_MOUNT_SETATTR = 442

const AT_FDCWD = -100
const AT_EMPTY_PATH = 0x1000
const OPEN_TREE_CLONE = 1
const MOVE_MOUNT_F_EMPTY_PATH = 4
const MOUNT_ATTR_IDMAP = 0x00100000n

const openTreeCall = checkedAsync(
  "open_tree",
  "long syscall(long number, long at, const char* path, unsigned long flags)"
)
/** A mount of what lies at `path`, without those below it, attached nowhere. Closing it lets it go. */
export const openTree = (path: string): Promise<Fd> =>
  openTreeCall(SYS_OPEN_TREE, AT_FDCWD, path, OPEN_TREE_CLONE | O_CLOEXEC)

const setAttributes = checkedAsync(
  "mount_setattr",
  "long syscall(long number, long tree, const char* path, unsigned long flags, void* attributes, size_t size)"
)
/** Maps the ids of everything in it through a user namespace. EINVAL: its file system does not take that. */
export const mapTree = async (tree: Fd, userNamespace: Fd): Promise<void> => {
  const attributes = Buffer.alloc(32) // struct mount_attr: set, clear, propagation and userns_fd, of 64 bits each
  attributes.writeBigUInt64LE(MOUNT_ATTR_IDMAP, 0)
  attributes.writeBigUInt64LE(BigInt(userNamespace), 24)
  await setAttributes(SYS_MOUNT_SETATTR, tree, "", AT_EMPTY_PATH, attributes, attributes.length)
}

const moveMount = checkedAsync(
  "move_mount",
  "long syscall(long number, long from, const char* fromPath, long to, const char* toPath, unsigned long flags)"
)
export const attachTree = async (tree: Fd, target: string): Promise<void> => {
  await moveMount(SYS_MOVE_MOUNT, tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH)
}
