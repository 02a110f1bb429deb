import type { MissingRow, ModelRow, Row } from './measure'

const WIDTHS = [22, 15, 6, 7, 12, 10, 9, 11] as const
const HEADINGS = ['engine', 'shape', 'dtype', 'tokens', 'ms/layer', 'ms alone', 'of floor', 'dispatches']

export function tableHeading(): string {
  return line(HEADINGS)
}

export function tableLine(row: Row | ModelRow | MissingRow): string {
  const length = 'texts' in row ? `${row.tokens}x${row.texts}` : String(row.tokens)
  const head = [row.engine, row.shape, row.dtype, length]
  if ('reason' in row) {
    return `${line(head)} - ${row.reason}`
  }
  if ('msPerText' in row) {
    const { msPerText, msAlone, dispatches } = row
    return line([...head, msPerText.toFixed(3), msAlone.toFixed(3), '', dispatches.toFixed()])
  }
  const { msPerLayer, msAlone, ofFloor, dispatchesPerLayer } = row
  return line([
    ...head,
    msPerLayer.toFixed(3),
    msAlone.toFixed(3),
    ofFloor.toFixed(2),
    dispatchesPerLayer.toFixed(1),
  ])
}

function line(cells: readonly string[]): string {
  const padded = cells.map((cell, i) => (i < 3 ? cell.padEnd(WIDTHS[i] ?? 0) : cell.padStart(WIDTHS[i] ?? 0)))
  return padded.join(' ').trimEnd()
}
