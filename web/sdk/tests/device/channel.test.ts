import { afterEach, describe, expect, it } from 'vitest'
import { type Calls, Channel, type Handlers, Transferred } from '../../src/device/channel'
import { SplitComputeError } from '../../src/errors'

type Theirs = {
  readonly work: { readonly argument: number; readonly result: number }
  readonly send: { readonly argument: undefined; readonly result: Float32Array }
}
type Nothing = Calls

const ports: MessagePort[] = []

afterEach(() => {
  for (const port of ports.splice(0)) {
    port.close()
  }
})

function join(handlers: Handlers<Theirs>): {
  page: Channel<Theirs, Nothing>
  worker: Channel<Nothing, Theirs>
} {
  const { port1, port2 } = new MessageChannel()
  ports.push(port1, port2)
  const worker = new Channel<Nothing, Theirs>(port2, handlers)
  const page = new Channel<Theirs, Nothing>(port1, {})
  port1.start()
  port2.start()
  return { page, worker }
}

const send = () => new Float32Array()

describe('a channel', () => {
  it('shouldAnswerCallsOutOfOrder', async () => {
    const { page } = join({
      send,
      work: (ms) => new Promise((resolve) => setTimeout(() => resolve(ms * 2), ms)),
    })
    expect(await Promise.all([page.call('work', 30), page.call('work', 5)])).toEqual([60, 10])
  })

  it('shouldCarryTypedErrorsAsWhatTheyWere', async () => {
    const problem = { status: 404, type: 'urn:x', field: 'model' }
    const { page } = join({
      send,
      work: () => {
        throw new SplitComputeError('refused', 'Not here.', { problem })
      },
    })
    const error = await page.call('work', 1).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(SplitComputeError)
    expect(error).toMatchObject({ code: 'refused', message: 'Not here.', problem })
  })

  it('shouldAbortWhatIsCalledWithTheCallersReason', async () => {
    let seen: unknown
    const { page } = join({
      send,
      work: (_, { signal }) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => {
            seen = signal.reason
            reject(signal.reason)
          })
        }),
    })
    const controller = new AbortController()
    const work = page.call('work', 1, { signal: controller.signal })
    await new Promise((resolve) => setTimeout(resolve, 10))
    const reason = new SplitComputeError('closed', 'Enough.')
    controller.abort(reason)
    await expect(work).rejects.toBe(reason)
    await new Promise((resolve) => setTimeout(resolve, 10))
    expect(seen).toMatchObject({ code: 'closed', message: 'Enough.' })
  })

  it('shouldTellOfProgressThoughNoneFollows', async () => {
    let finish = (_: number) => {}
    const rest = new Promise<number>((resolve) => {
      finish = resolve
    })
    const { page } = join({
      send,
      work: (_, { tell }) => {
        tell(3)
        return rest
      },
    })
    const counted = new Promise<number>((resolve) => {
      page.call('work', 1, { onCount: resolve }).catch(() => undefined)
    })
    expect(await counted).toBe(3)
    finish(0)
  })

  it('shouldTellOfAllProgressBeforeTheAnswer', async () => {
    let sum = 0
    const { page } = join({
      send,
      work: (argument, { tell }) => {
        tell(5)
        tell(-2)
        return argument
      },
    })
    await page.call('work', 1, { onCount: (count) => (sum += count) })
    expect(sum).toBe(3)
  })

  it('shouldMoveBuffersInsteadOfCopyingThem', async () => {
    const values = Float32Array.of(1, 2)
    const { page } = join({
      work: () => 0,
      send: () => new Transferred(values, [values.buffer]) as unknown as Float32Array,
    })
    expect(await page.call('send', undefined)).toEqual(Float32Array.of(1, 2))
    expect(values.buffer.byteLength).toBe(0)
  })

  it('shouldRejectWhatCannotBeSent', async () => {
    const { page } = join({ send, work: (argument) => argument })
    const unsendable = (() => 1) as unknown as number
    await expect(page.call('work', unsendable)).rejects.toMatchObject({ name: 'DataCloneError' })
    expect(await page.call('work', 1)).toBe(1)
  })

  it('shouldLeaveNothingPendingOnceItIsClosed', async () => {
    const { page } = join({ send, work: () => new Promise(() => undefined) })
    const work = page.call('work', 1)
    const error = new SplitComputeError('device_lost', 'Gone.')
    page.close(error)
    await expect(work).rejects.toBe(error)
    await expect(page.call('work', 1)).rejects.toBe(error)
  })
})
