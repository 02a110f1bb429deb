import type { Answer } from 'splitcompute'
import { cosine } from './cosine'
import { element, showSentence, showText } from './elements'
import { formatBytes, formatMilliseconds, formatValue } from './format'
import { drawHeatStrip } from './heat-strip'

const FIRST_VALUES = 8

/** Shows an answer beside the one that the cloud gives alone. */
export function showResult(answer: Answer, cloudOnly: Answer): void {
  const { embedding, cut, ledger, reason } = answer
  element('result', HTMLElement).hidden = false
  drawHeatStrip(element('strip', HTMLCanvasElement), embedding)
  const first = Array.from(embedding.subarray(0, FIRST_VALUES), formatValue)
  showText('values', `[${first.join(', ')}, …] ${embedding.length}\u00a0values`)
  showSentence('reason', reason)
  showText('result-cut', String(cut))
  showText('result-layers', `${ledger.layers.cloud} cloud, ${ledger.layers.device} device`)
  const agreement = `cosine ${cosine(embedding, cloudOnly.embedding).toFixed(7)}`
  showText('difference', answer === cloudOnly ? `${agreement} (it is the cloud’s)` : agreement)
  showText('cloud-time', formatMilliseconds(ledger.milliseconds.cloud))
  showText('device-time', formatMilliseconds(ledger.milliseconds.device))
  showText('bytes', `${formatBytes(ledger.bytes.sent)} up, ${formatBytes(ledger.bytes.received)} down`)
}
