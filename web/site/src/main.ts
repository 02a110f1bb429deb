import { type Retry, SplitCompute } from 'splitcompute'
import { loadConfig, type SiteConfig } from './config'
import { element, showSentence, showText } from './elements'
import { drawLayerTiles, layerTiles } from './layer-tiles'
import { showProgress } from './progress-view'
import { showResult } from './result-view'
import { showStorage } from './storage-view'

const form = element('form', HTMLFormElement)
const text = element('text', HTMLTextAreaElement)
const slider = element('cut', HTMLInputElement)
const embedButton = element('embed', HTMLButtonElement)
const cancelButton = element('cancel', HTMLButtonElement)
const picker = element('model', HTMLSelectElement)
const clearButton = element('clear', HTMLButtonElement)

/** What to say while a request waits for the cloud. */
const stillTrying = ({ reason }: Retry) => `${reason} Still trying …`
/** Nothing is connected yet. */
const onRetry = (retry: Retry) => showText('progress-text', stillTrying(retry))

/** A visitor who waits longer has left. */
const TIMEOUT_MS = 30_000

let split: SplitCompute | undefined
let connecting: AbortController | undefined
let running: AbortController | undefined
/** The visitor moved the slider: it follows the cut no more. */
let chosen = false

function showCut(): void {
  if (split === undefined) {
    return
  }
  const cut = Number(slider.value)
  const device = split.layers - cut
  drawLayerTiles(element('layers', HTMLElement), layerTiles(split.layers, cut, split.progress))
  showText('cut-text', `${cut} of ${split.layers} layers run in the cloud, ${device} on this device.`)
  slider.setAttribute('aria-valuetext', `${cut} layers in the cloud, ${device} on this device`)
}

/** Without layers on this device, and without hope of any, there is nothing to choose. */
function cloudAlone({ phase, cut }: SplitCompute['progress'], layers: number): boolean {
  return phase === 'stopped' && cut === layers
}

function showRunning(controller: AbortController | undefined): void {
  running = controller
  embedButton.disabled = controller !== undefined || split === undefined
  cancelButton.disabled = controller === undefined
  form.ariaBusy = String(controller !== undefined)
}

function showError(error: unknown): void {
  showSentence('error', error instanceof Error ? error.message : String(error))
}

/** There will be no client: nothing is waited for any more. */
function showFailure(error: unknown): void {
  showText('progress-text', '')
  showError(error)
}

/** Another model may be chosen before this one is connected: what then still arrives is closed. */
async function connect({ endpoint }: SiteConfig, model: string): Promise<void> {
  connecting?.abort()
  const controller = new AbortController()
  const { signal } = controller
  connecting = controller
  const former = split
  split = undefined
  showRunning(undefined)
  showText('model-name', model)
  showText('progress-text', 'Connecting …')
  showSentence('error', undefined)
  await former?.close()
  const timer = setTimeout(() => controller.abort(new Error(`${model} does not answer.`)), TIMEOUT_MS)
  let connected: SplitCompute
  try {
    connected = await SplitCompute.connect({ endpoint, model, signal, onRetry })
  } catch (error) {
    if (connecting === controller) {
      throw error
    }
    return
  } finally {
    clearTimeout(timer)
  }
  if (connecting !== controller) {
    await connected.close()
    return
  }
  split = connected
  slider.max = String(connected.layers)
  slider.value = slider.max
  chosen = false
  const follow = () => {
    if (split === connected) {
      showProgress(connected.progress, connected.layers)
      slider.disabled = cloudAlone(connected.progress, connected.layers)
      if (!chosen || slider.disabled) {
        slider.value = String(connected.cut)
      }
      showCut()
    }
  }
  connected.addEventListener('progress', follow)
  // A shard is on the disk by the time that its layer is on the GPU.
  connected.addEventListener('cut', () => showStorage(connected).catch(showError))
  connected.addEventListener('fallback', ({ detail }) => showText('status', detail.reason))
  connected.addEventListener('retry', ({ detail }) => showText('status', stillTrying(detail)))
  follow()
  showStorage(connected).catch(showError)
  showRunning(undefined)
}

async function embed(client: SplitCompute): Promise<void> {
  const controller = new AbortController()
  const { signal } = controller
  const cut = chosen ? Number(slider.value) : client.cut
  showSentence('error', undefined)
  // An old answer under a new question would look like its answer.
  element('result', HTMLElement).hidden = true
  if (text.value === '') {
    showError('Type a text first.')
    return
  }
  showRunning(controller)
  showText('status', cut < client.cut ? `Waiting for layers ${cut} to ${client.cut - 1} …` : 'Embedding …')
  const options = { signal, timeoutMs: TIMEOUT_MS }
  try {
    const answer = await client.embed(text.value, chosen ? { ...options, cut } : options)
    const cloudOnly =
      answer.cut === client.layers
        ? answer
        : await client.embed(text.value, { ...options, cut: client.layers })
    showResult(answer, cloudOnly)
    showText('status', '')
  } catch (error) {
    showText('status', signal.aborted ? 'Cancelled.' : '')
    if (!signal.aborted) {
      showError(error)
    }
  } finally {
    showRunning(undefined)
  }
}

async function start(): Promise<void> {
  const config = await loadConfig()
  const models = await SplitCompute.models({ ...config, onRetry })
  const ids = models.map(({ id }) => id)
  const model = config.model ?? ids[0]
  if (model === undefined) {
    throw new Error('The cloud serves no model yet.')
  }
  picker.replaceChildren(...ids.map((id) => new Option(id, id, false, id === model)))
  element('model-picker', HTMLElement).hidden = ids.length < 2
  element('model-name', HTMLElement).hidden = ids.length >= 2
  picker.addEventListener('change', () => {
    running?.abort()
    connect(config, picker.value).catch(showFailure)
  })
  await connect(config, model)
}

slider.addEventListener('input', () => {
  chosen = true
  showCut()
})
clearButton.addEventListener('click', () => {
  const client = split
  client?.storage
    .clear()
    .then(() => showStorage(client))
    .catch(showError)
})
cancelButton.addEventListener('click', () => running?.abort())
text.addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
    form.requestSubmit()
  }
})
form.addEventListener('submit', (event) => {
  event.preventDefault()
  if (split !== undefined && running === undefined) {
    embed(split).catch(showError)
  }
})

start().catch(showFailure)
