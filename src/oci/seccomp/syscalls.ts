/**
 * The system calls of the RuntimeDefault profile, by family, and those that nobody gets. Refused is everything that has
 * opened kernels to their containers before and that a container without extra capabilities can do without (io_uring,
 * userfaultfd, keyrings, bpf, kexec, swap, new mount API, AF_ALG, AF_VSOCK).
 *
 * Names that an architecture or a libseccomp does not know are skipped by the OCI runtimes, so 32-bit variants stand
 * beside their 64-bit twins.
 */

export interface Family {
  readonly what: string
  readonly names: string
  /** Allowed if the container has one of these capabilities; to everybody when absent. */
  readonly capabilities?: ReadonlyArray<string>
  /** Allowed on this architecture only (Go's names: "amd64", "arm64"). */
  readonly architecture?: "amd64" | "arm64"
}

export const families: ReadonlyArray<Family> = [
  {
    what: "open, read and write files",
    names: `open openat openat2 creat close close_range read write readv writev pread64 pwrite64 preadv pwritev preadv2
      pwritev2 lseek _llseek dup dup2 dup3 fcntl fcntl64 flock ioctl pipe pipe2 truncate truncate64 ftruncate ftruncate64
      fallocate fadvise64 fadvise64_64 arm_fadvise64_64 readahead sync syncfs fsync fdatasync sync_file_range
      sync_file_range2 arm_sync_file_range sendfile sendfile64 splice tee vmsplice copy_file_range cachestat memfd_create`
  },
  {
    what: "names, owners, modes, times and attributes of files",
    names: `stat stat64 lstat lstat64 fstat fstat64 fstatat64 newfstatat statx oldstat oldlstat oldfstat statfs statfs64
      fstatfs fstatfs64 access faccessat faccessat2 getcwd chdir fchdir getdents getdents64 readdir mkdir mkdirat rmdir
      mknod mknodat link linkat symlink symlinkat readlink readlinkat unlink unlinkat rename renameat renameat2 chmod
      fchmod fchmodat fchmodat2 chown chown32 lchown lchown32 fchown fchown32 fchownat umask utime utimes utimensat
      utimensat_time64 futimesat getxattr lgetxattr fgetxattr getxattrat listxattr llistxattr flistxattr listxattrat
      setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr fremovexattr removexattrat name_to_handle_at
      file_getattr`
  },
  {
    what: "watch files and descriptors",
    names: `inotify_init inotify_init1 inotify_add_watch inotify_rm_watch fanotify_mark poll ppoll ppoll_time64 select
      _newselect pselect6 pselect6_time64 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_wait epoll_wait_old
      epoll_pwait epoll_pwait2 eventfd eventfd2 signalfd signalfd4 timerfd_create timerfd_gettime timerfd_gettime64
      timerfd_settime timerfd_settime64`
  },
  {
    what: "asynchronous I/O of libaio (not io_uring)",
    names: "io_setup io_submit io_cancel io_getevents io_pgetevents io_pgetevents_time64 io_destroy"
  },
  {
    what: "memory",
    names: `brk mmap mmap2 munmap mremap mprotect madvise mincore msync mlock mlock2 munlock mlockall munlockall
      membarrier remap_file_pages pkey_alloc pkey_free pkey_mprotect map_shadow_stack mseal memfd_secret`
  },
  {
    what: "processes and threads; clone and clone3 have rules of their own",
    names: `fork vfork execve execveat exit exit_group wait4 waitid waitpid getpid getppid gettid getpgid getpgrp setpgid
      getsid setsid set_tid_address set_robust_list get_robust_list set_thread_area get_thread_area prctl rseq
      restart_syscall sched_yield capget capset getpriority setpriority nice ioprio_get ioprio_set getrlimit ugetrlimit
      setrlimit prlimit64 getrusage times pidfd_open pidfd_send_signal process_mrelease uretprobe`
  },
  {
    what: "scheduling",
    names: `sched_getaffinity sched_setaffinity sched_getattr sched_setattr sched_getparam sched_setparam
      sched_getscheduler sched_setscheduler sched_get_priority_max sched_get_priority_min sched_rr_get_interval
      sched_rr_get_interval_time64 getcpu`
  },
  {
    what: "users and groups",
    names: `getuid getuid32 geteuid geteuid32 getgid getgid32 getegid getegid32 getresuid getresuid32 getresgid
      getresgid32 getgroups getgroups32 setuid setuid32 setgid setgid32 setreuid setreuid32 setregid setregid32 setresuid
      setresuid32 setresgid setresgid32 setfsuid setfsuid32 setfsgid setfsgid32 setgroups setgroups32`
  },
  {
    what: "signals",
    names: `kill tkill tgkill pause alarm sigaltstack signal sigaction sigpending sigprocmask sigreturn sigsuspend
      rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
      rt_sigtimedwait_time64 rt_tgsigqueueinfo`
  },
  {
    what: "locks and futexes",
    names: "futex futex_time64 futex_wait futex_wake futex_requeue futex_waitv"
  },
  {
    what: "clocks and timers",
    names: `time gettimeofday clock_gettime clock_gettime64 clock_getres clock_getres_time64 clock_nanosleep
      clock_nanosleep_time64 nanosleep getitimer setitimer timer_create timer_delete timer_getoverrun timer_gettime
      timer_gettime64 timer_settime timer_settime64 adjtimex clock_adjtime clock_adjtime64`
  },
  {
    what: "sockets; socket itself and socketcall have rules of their own",
    names: `socketpair bind listen accept accept4 connect getsockname getpeername getsockopt setsockopt shutdown send
      sendto sendmsg sendmmsg recv recvfrom recvmsg recvmmsg recvmmsg_time64`
  },
  {
    what: "System V and POSIX inter-process communication",
    names: `ipc semget semop semctl semtimedop semtimedop_time64 shmget shmat shmctl shmdt msgget msgsnd msgrcv msgctl
      mq_open mq_unlink mq_notify mq_getsetattr mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64`
  },
  {
    what: "the system and its sandboxes",
    names: `uname olduname sysinfo getrandom seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self
      lsm_get_self_attr lsm_set_self_attr lsm_list_modules`
  },
  {
    what: "debug own processes (Linux 4.8 and later check seccomp after ptrace); who may not trace may not read either",
    names: "ptrace process_vm_readv process_vm_writev"
  },
  {
    what: "where own memory lies",
    names: "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"
  },
  { what: "x86 only", names: "arch_prctl modify_ldt", architecture: "amd64" },
  {
    what: "arm only",
    names: "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls",
    architecture: "arm64"
  },

  {
    what: "mounts, namespaces and what else administrators do",
    names: `mount mount_setattr umount umount2 move_mount open_tree open_tree_attr fsopen fsconfig fsmount fspick
      statmount listmount pivot_root setns unshare clone clone3 sethostname setdomainname fanotify_init lookup_dcookie
      quotactl quotactl_fd file_setattr bpf perf_event_open syslog`,
    capabilities: ["CAP_SYS_ADMIN"]
  },
  { what: "BPF", names: "bpf", capabilities: ["CAP_BPF"] },
  { what: "performance counters", names: "perf_event_open", capabilities: ["CAP_PERFMON"] },
  { what: "the kernel's log", names: "syslog", capabilities: ["CAP_SYSLOG"] },
  { what: "files by handle", names: "open_by_handle_at", capabilities: ["CAP_DAC_READ_SEARCH"] },
  { what: "another root directory", names: "chroot", capabilities: ["CAP_SYS_CHROOT"] },
  { what: "reboot", names: "reboot", capabilities: ["CAP_SYS_BOOT"] },
  { what: "kernel modules", names: "init_module finit_module delete_module", capabilities: ["CAP_SYS_MODULE"] },
  { what: "process accounting", names: "acct", capabilities: ["CAP_SYS_PACCT"] },
  {
    what: "look into other processes",
    names: "kcmp pidfd_getfd process_madvise",
    capabilities: ["CAP_SYS_PTRACE"]
  },
  { what: "I/O ports", names: "iopl ioperm", capabilities: ["CAP_SYS_RAWIO"] },
  {
    what: "set the clock",
    names: "settimeofday stime clock_settime clock_settime64",
    capabilities: ["CAP_SYS_TIME"]
  },
  { what: "hang up terminals", names: "vhangup", capabilities: ["CAP_SYS_TTY_CONFIG"] },
  {
    what: "where others' memory lies",
    names: "migrate_pages move_pages",
    capabilities: ["CAP_SYS_NICE"]
  }
]

/**
 * What is refused with EPERM, where no capability allows it: what administrators' programs call, which shall say that it is
 * not permitted. Everything else that is not allowed does not exist for a container. Each name costs each start of a
 * container some 50 µs. socketcall hides the address family behind a pointer; every kernel since 4.3 has the calls that
 * it stands for.
 */
export const refused = `socketcall mount umount2 chroot pivot_root setns sethostname setdomainname settimeofday clock_settime
  reboot swapon swapoff init_module finit_module delete_module kexec_load syslog bpf perf_event_open quotactl
  open_by_handle_at keyctl add_key request_key`

/** Names out of a list of them. */
export const namesOf = (names: string): ReadonlyArray<string> => names.split(/\s+/)
