/** What was tried and what the client was told, printed at the end. */
interface Row {
  readonly rpc: string
  readonly fault: { readonly point: string; readonly moment: string; readonly action: string }
  readonly outcome: string
}

export class FaultTable {
  private readonly rows: Array<Row> = []

  add(rpc: string, fault: Row["fault"], outcome: string): void {
    this.rows.push({ rpc, fault, outcome: outcome.replaceAll(/\s+/g, " ").slice(0, 120) })
  }

  print(): void {
    const lines = this.rows.map(
      ({ rpc, fault, outcome }) =>
        `${rpc.padEnd(28)}${fault.point.padEnd(16)}${fault.moment.padEnd(8)}${fault.action.padEnd(6)}${outcome}`
    )
    process.stdout.write(`\n${lines.join("\n")}\n${this.rows.length} points of failure\n`)
  }
}
