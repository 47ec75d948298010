/** Signals: names and numbers of Linux (signal(7); x86 and arm have the same), CRI's enum, an image's StopSignal. */

const numbers: ReadonlyMap<string, number> = new Map([
  ["HUP", 1],
  ["INT", 2],
  ["QUIT", 3],
  ["ILL", 4],
  ["TRAP", 5],
  ["ABRT", 6],
  ["IOT", 6],
  ["BUS", 7],
  ["FPE", 8],
  ["KILL", 9],
  ["USR1", 10],
  ["SEGV", 11],
  ["USR2", 12],
  ["PIPE", 13],
  ["ALRM", 14],
  ["TERM", 15],
  ["STKFLT", 16],
  ["CHLD", 17],
  ["CLD", 17],
  ["CONT", 18],
  ["STOP", 19],
  ["TSTP", 20],
  ["TTIN", 21],
  ["TTOU", 22],
  ["URG", 23],
  ["XCPU", 24],
  ["XFSZ", 25],
  ["VTALRM", 26],
  ["PROF", 27],
  ["WINCH", 28],
  ["IO", 29],
  ["POLL", 29],
  ["PWR", 30],
  ["SYS", 31]
])

/** As libcs count them: the kernel's first two real-time signals belong to the thread library. */
const realTimeMin = 34
const realTimeMax = 64

export const SIGHUP = 1
export const SIGKILL = 9
export const SIGTERM = 15
export const SIGCONT = 18
export const SIGSTOP = 19

const realTime = /^RT(MIN|MAX)(?:([+-])(\d{1,2}))?$/

/** "SIGTERM", "term", "15", "SIGRTMIN+3", "RTMAX-2"; undefined for anything else. Never throws: images write these. */
export const parseSignal = (text: string): number | undefined => {
  const name = text.trim().toUpperCase()
  if (/^\d{1,2}$/.test(name)) {
    const number = Number(name)
    return number >= 1 && number <= realTimeMax ? number : undefined
  }
  const bare = name.startsWith("SIG") ? name.slice(3) : name
  const known = numbers.get(bare)
  if (known !== undefined) return known
  const match = realTime.exec(bare)
  if (match === null) return undefined
  const [, base, sign, digits] = match
  if (sign !== undefined && (sign === "+") !== (base === "MIN")) return undefined
  const offset = digits === undefined ? 0 : Number(digits)
  const number = base === "MIN" ? realTimeMin + offset : realTimeMax - offset
  return number >= realTimeMin && number <= realTimeMax ? number : undefined
}

/** "SIGTERM", "SIGRTMIN+3"; the number itself for one without a name. */
export const signalName = (number: number): string => {
  for (const [name, value] of numbers) if (value === number) return `SIG${name}`
  if (number < realTimeMin || number > realTimeMax) return String(number)
  if (number === realTimeMin) return "SIGRTMIN"
  if (number === realTimeMax) return "SIGRTMAX"
  const above = number - realTimeMin
  return above <= 15 ? `SIGRTMIN+${above}` : `SIGRTMAX-${realTimeMax - number}`
}

/** Names of CRI's Signal enum in its order; place 0 is SIGNAL_RUNTIME_DEFAULT. */
const criNames: ReadonlyArray<string> = [
  "",
  ..."ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS".split(" "),
  ..."TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN".split(" "),
  ...Array.from({ length: 15 }, (_, index) => `RTMIN+${index + 1}`),
  ...Array.from({ length: 14 }, (_, index) => `RTMAX-${14 - index}`),
  "RTMAX"
]

/** Signal number of a value of CRI's Signal enum; undefined for SIGNAL_RUNTIME_DEFAULT and values it does not have. */
export const signalFromCri = (value: number): number | undefined => {
  const name = criNames[value]
  return name === undefined || name === "" ? undefined : parseSignal(name)
}

/** Second names of a number that has a better known one. */
const aliases: ReadonlySet<string> = new Set(["CLD", "IOT", "POLL"])

/** Value of CRI's Signal enum; 0 (SIGNAL_RUNTIME_DEFAULT) for a signal it does not have. */
export const signalToCri = (number: number): number =>
  Math.max(
    0,
    criNames.findIndex((name) => !aliases.has(name) && parseSignal(name) === number)
  )

/** The signal that asks a container to stop: the request's, else the image's, else SIGTERM (CRI ContainerConfig). */
export const stopSignal = (criSignal: number, imageStopSignal: string): number =>
  signalFromCri(criSignal) ?? parseSignal(imageStopSignal) ?? SIGTERM
