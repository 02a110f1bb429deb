import type { Progress } from 'splitcompute'
import { element, showSentence, showText } from './elements'
import { formatBytes } from './format'

/** The sentence under the progress bar. */
export function progressSentence({ phase, loaded, total, cut, reason }: Progress, layers: number): string {
  const bytes = `${formatBytes(loaded)} of ${formatBytes(total)}`
  const here = layers - cut
  const running = `${here} of ${layers} layers can run on this device.`
  if (reason !== undefined && phase !== 'stopped' && phase !== 'opening') {
    return `${reason} The cloud runs all layers meanwhile; ${bytes} of weights stay here.`
  }
  switch (phase) {
    case 'opening':
      return reason === undefined
        ? 'Opening the GPU …'
        : `${reason} Opening it again; the cloud runs all layers.`
    case 'loading':
      return `Loading weights: ${bytes}. ${running}`
    case 'ready':
      return `All weights are here (${bytes}). ${running}`
    case 'stopped':
      return here === 0 ? 'The cloud runs all layers.' : `Stopped at ${bytes}. ${running} ${reason ?? ''}`
  }
}

/** Why the cloud answers alone, where it does. */
export function notice({ phase, cut, reason }: Progress, layers: number): string | undefined {
  if (phase !== 'stopped' || cut < layers) {
    return undefined
  }
  return `${reason ?? 'The device runs no layers.'} The cloud answers alone.`
}

export function showProgress(progress: Progress, layers: number): void {
  const bar = element('progress', HTMLProgressElement)
  bar.value = progress.total === 0 ? 0 : progress.loaded / progress.total
  bar.hidden = progress.phase === 'stopped' && progress.cut === layers
  showText('progress-text', progressSentence(progress, layers))
  showSentence('notice', notice(progress, layers))
  showSentence('warning', progress.warning)
}
