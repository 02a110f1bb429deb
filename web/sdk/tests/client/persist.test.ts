import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { askToPersist } from '../../src/client/storage'

describe('the browser', () => {
  let asked: number
  let persisted: boolean

  beforeEach(() => {
    asked = 0
    persisted = false
    const items = new Map<string, string>()
    vi.stubGlobal('localStorage', {
      getItem: (key: string) => items.get(key) ?? null,
      setItem: (key: string, value: string) => items.set(key, value),
    })
    vi.stubGlobal('navigator', {
      storage: { persisted: async () => persisted, persist: async () => asked++ },
    })
  })

  afterEach(() => {
    vi.unstubAllGlobals()
  })

  it('shouldBeAskedOnceForAnOriginToKeepItsStorage', async () => {
    await askToPersist()
    await askToPersist()
    expect(asked).toBe(1)
  })

  it('shouldNotBeAskedForWhatItPromisedAlready', async () => {
    persisted = true
    await askToPersist()
    expect(asked).toBe(0)
  })

  it('shouldNotTroubleThePageWhereItHasNoStorage', async () => {
    vi.stubGlobal('localStorage', undefined)
    await expect(askToPersist()).resolves.toBeUndefined()
  })
})
