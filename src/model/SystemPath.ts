/** Where programs of the host are looked for, and the PATH that those we start get themselves: never the daemon's own. */
export const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
