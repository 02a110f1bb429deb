import type { Progress } from 'splitcompute'

const STATES = {
  waiting: 'waiting',
  loading: 'loading',
  loaded: 'ready',
  refused: 'refused',
} as const

/** What one tile says. */
export interface Tile {
  readonly label: string
  readonly side: 'cloud' | 'device'
  readonly state: Progress['units'][number]['state']
  /** For people who do not see the colours. */
  readonly description: string
}

/** What runs where at a cut: a tile a layer. */
export function layerTiles(layers: number, cut: number, progress: Progress): Tile[] {
  return Array.from({ length: layers }, (_, k) => {
    const side = k < cut ? 'cloud' : 'device'
    const state = progress.units.find(({ name }) => name === `layer.${k}`)?.state ?? 'waiting'
    const where = side === 'cloud' ? 'in the cloud' : `on this device, ${STATES[state]}`
    return { label: String(k), side, state, description: `Layer ${k}: ${where}` }
  })
}

export function drawLayerTiles(list: HTMLElement, tiles: readonly Tile[]): void {
  list.replaceChildren(
    ...tiles.map(({ label, side, state, description }) => {
      const item = document.createElement('li')
      item.dataset.side = side
      item.dataset.state = state
      item.title = description
      const name = document.createElement('span')
      name.className = 'side'
      name.textContent = side
      const hidden = document.createElement('span')
      hidden.className = 'visually-hidden'
      hidden.textContent = description
      const visible = document.createElement('span')
      visible.ariaHidden = 'true'
      visible.append(label, name)
      item.append(visible, hidden)
      return item
    }),
  )
}
