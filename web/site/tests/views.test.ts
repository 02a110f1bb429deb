import type { Progress } from 'splitcompute'
import { describe, expect, it } from 'vitest'
import { layerTiles } from '../src/layer-tiles'
import { notice, progressSentence } from '../src/progress-view'
import { storageSentence } from '../src/storage-view'

const MIB = 1024 * 1024

function progress(change: Partial<Progress>): Progress {
  return { phase: 'loading', cut: 2, loaded: MIB, total: 2 * MIB, units: [], ...change }
}

describe('the sentence under the bar', () => {
  it.each([
    [progress({ phase: 'opening' }), 'Opening the GPU …'],
    [
      progress({ phase: 'opening', reason: 'The GPU was lost: unplugged' }),
      'The GPU was lost: unplugged Opening it again; the cloud runs all layers.',
    ],
    [progress({}), 'Loading weights: 1.0 MiB of 2.0 MiB. 0 of 2 layers can run on this device.'],
    [
      progress({ phase: 'ready', cut: 0, loaded: 2 * MIB }),
      'All weights are here (2.0 MiB of 2.0 MiB). 2 of 2 layers can run on this device.',
    ],
    [
      progress({ phase: 'ready', reason: 'The device was slow and rests.' }),
      'The device was slow and rests. The cloud runs all layers meanwhile; 1.0 MiB of 2.0 MiB of weights stay here.',
    ],
    [progress({ phase: 'stopped', reason: 'No more.' }), 'The cloud runs all layers.'],
    [
      progress({ phase: 'stopped', cut: 1, reason: 'No more.' }),
      'Stopped at 1.0 MiB of 2.0 MiB. 1 of 2 layers can run on this device. No more.',
    ],
  ])('shouldSayWhatHappens: %#', (state, sentence) => {
    expect(progressSentence(state, 2)).toBe(sentence)
  })

  it('shouldGiveNoticeOnlyWhereTheCloudAnswersAlone', () => {
    expect(notice(progress({ phase: 'stopped', reason: 'No GPU.' }), 2)).toBe(
      'No GPU. The cloud answers alone.',
    )
    expect(notice(progress({}), 2)).toBeUndefined()
  })
})

describe('the tiles', () => {
  it('shouldTellForEachLayerItsSideAndItsWeights', () => {
    const units = [
      { name: 'layer.1', state: 'loaded', loaded: 8, total: 8, from: 'disk' },
      { name: 'layer.0', state: 'loading', loaded: 2, total: 8 },
    ] as const
    expect(layerTiles(2, 1, progress({ units }))).toEqual([
      {
        label: '0',
        side: 'cloud',
        state: 'loading',
        here: 0.25,
        description: 'Layer 0: in the cloud, its weights on their way',
      },
      {
        label: '1',
        side: 'device',
        state: 'loaded',
        here: 1,
        description: 'Layer 1: on this device, its weights here, kept from an earlier visit',
      },
    ])
  })
})

describe('what is kept', () => {
  it('shouldBeCountedOverModels', () => {
    expect(storageSentence([])).toBe('Nothing is kept on this disk.')
    expect(
      storageSentence([
        { bytes: MIB, model: 'b', where: 'disk' },
        { bytes: MIB, model: 'a', where: 'disk' },
      ]),
    ).toBe('2.0 MiB in 2 files are kept on this disk for the next visit (a, b).')
  })

  it('shouldBeToldApartFromWhatTheNextVisitDoesNotFind', () => {
    expect(
      storageSentence([
        { bytes: MIB, model: 'a', where: 'disk' },
        { bytes: 3 * MIB, model: 'a', where: 'memory' },
      ]),
    ).toBe(
      '1.0 MiB in 1 file are kept on this disk for the next visit (a). 3.0 MiB are kept in memory until the page is left.',
    )
  })
})
