import type { Dtype, Manifest } from './manifest'
import type { UnitProgress } from './progress'

/** The order in which units load: from the last layer down, so that each one that arrives lowers the cut. */
export function loadOrder({ layers, final }: Pick<Manifest, 'layers' | 'final'>): string[] {
  const names = final === undefined ? [] : ['final']
  for (let k = layers - 1; k >= 0; k--) {
    names.push(`layer.${k}`)
  }
  return [...names, 'embeddings']
}

/** What has become of each unit on a device. */
export class Units {
  /** Their names, in the order in which they load. */
  readonly order: readonly string[]
  #all: UnitProgress[]

  constructor(
    private readonly manifest: Manifest,
    private readonly dtype: Dtype,
  ) {
    this.order = loadOrder(manifest)
    this.#all = this.#waiting()
  }

  /** In the order in which they load; never changed, but replaced. */
  get all(): readonly UnitProgress[] {
    return this.#all
  }

  /** The first layer that can run with those that are loaded; the number of layers where none can. */
  get cut(): number {
    const { layers } = this.manifest
    if (!this.#has('final')) {
      return layers
    }
    let cut = layers
    while (cut > 0 && this.#has(`layer.${cut - 1}`)) {
      cut--
    }
    return cut === 0 && !this.#has('embeddings') ? 1 : cut
  }

  get whole(): boolean {
    return this.#all.every(({ state }) => state === 'loaded')
  }

  /** Whether the canary of one that has arrived has its turn. */
  get proving(): boolean {
    return this.#all.some(({ state, loaded, total }) => state === 'loading' && loaded >= total)
  }

  update(index: number, change: Partial<UnitProgress>): void {
    this.#all = this.#all.map((unit, i) => (i === index ? { ...unit, ...change } : unit))
  }

  /** Adds bytes that arrived; negative ones must come again. */
  count(index: number, bytes: number): void {
    this.update(index, { loaded: (this.#all[index]?.loaded ?? 0) + bytes })
  }

  /** They are gone with the device. */
  reset(): void {
    this.#all = this.#waiting()
  }

  /** Whether a unit is loaded, or not needed. */
  #has(name: string): boolean {
    const unit = this.#all.find((one) => one.name === name)
    return unit === undefined || unit.state === 'loaded'
  }

  #waiting(): UnitProgress[] {
    return this.order.map((name) => {
      const total = this.manifest.units.get(name)?.get(this.dtype)?.bytes ?? 0
      return { name, state: 'waiting', loaded: 0, total }
    })
  }
}
