import type { Progress } from 'splitcompute'

const STATES = {
  waiting: 'still to come',
  loading: 'on their way',
  loaded: 'here',
  refused: 'refused',
} as const

/** What one tile says. */
export interface Tile {
  readonly label: string
  readonly side: 'cloud' | 'device'
  readonly state: Progress['units'][number]['state']
  /** The part of its weights that is here, from 0 to 1. */
  readonly here: number
  /** For people who do not see the colours. */
  readonly description: string
}

/** What runs where at a cut: a tile a layer. */
export function layerTiles(layers: number, cut: number, progress: Progress): Tile[] {
  return Array.from({ length: layers }, (_, k) => {
    const side = k < cut ? 'cloud' : 'device'
    const unit = progress.units.find(({ name }) => name === `layer.${k}`)
    const state = unit?.state ?? 'waiting'
    const here = unit === undefined || unit.total === 0 ? 0 : unit.loaded / unit.total
    const from = unit?.from === 'disk' ? ', kept from an earlier visit' : ''
    const weights = side === 'device' || state !== 'waiting' ? `, its weights ${STATES[state]}${from}` : ''
    const where = side === 'cloud' ? 'in the cloud' : 'on this device'
    return { label: String(k), side, state, here, description: `Layer ${k}: ${where}${weights}` }
  })
}

/** Draws the tiles. Those that are drawn already move to their side instead of being made anew. */
export function drawLayerTiles(list: HTMLElement, tiles: readonly Tile[]): void {
  while (list.children.length > tiles.length) {
    list.lastElementChild?.remove()
  }
  while (list.children.length < tiles.length) {
    list.append(newTile())
  }
  for (const [i, { label, side, state, here, description }] of tiles.entries()) {
    const item = list.children[i] as HTMLElement
    item.dataset.side = side
    item.dataset.state = state
    item.title = description
    item.style.setProperty('--here', String(here))
    const [visible, hidden] = item.children
    if (visible !== undefined && hidden !== undefined) {
      visible.textContent = label
      hidden.textContent = description
    }
  }
}

function newTile(): HTMLElement {
  const item = document.createElement('li')
  const visible = document.createElement('span')
  visible.ariaHidden = 'true'
  const hidden = document.createElement('span')
  hidden.className = 'visually-hidden'
  item.append(visible, hidden)
  return item
}
