import { readFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import OpenAI, { BadRequestError, NotFoundError } from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { launchBrowser } from './browser.ts'
import { cosine } from './harness.ts'
import { LocalCloud } from './local-cloud.ts'

const TEXTS = ['It was a dark night.', 'Rain fell.']
const HIDDEN_SIZE = 256
const CLIENT = join(createRequire(import.meta.url).resolve('openai'), '..')

/** An origin of its own, whose page has the client as a global. */
async function serveClient(): Promise<Server> {
  const site = createServer(async ({ url }, response) => {
    if (url?.endsWith('.mjs')) {
      response.writeHead(200, { 'Content-Type': 'text/javascript' }).end(await readFile(join(CLIENT, url)))
      return
    }
    response.writeHead(200, { 'Content-Type': 'text/html' })
    response.end(
      '<!doctype html><title>Another origin</title><script type="module">' +
        "import OpenAI from '/index.mjs'; window.OpenAI = OpenAI</script>",
    )
  })
  await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve))
  return site
}

describe('the official OpenAI client', () => {
  let cloud: LocalCloud
  let client: OpenAI
  let expected: number[][]

  beforeAll(async () => {
    cloud = await LocalCloud.start()
    client = new OpenAI({ baseURL: `${cloud.url}/v1`, apiKey: 'none', maxRetries: 0 })
    expected = await embed(TEXTS)
  })

  afterAll(async () => {
    await cloud?.stop()
  })

  /** What the project's own interface answers. */
  async function embed(input: readonly string[] | readonly number[][]): Promise<number[][]> {
    const response = await fetch(`${cloud.url}/v1/embed`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ model: 'bookworm', input }),
    })
    return ((await response.json()) as { embeddings: number[][] }).embeddings
  }

  function expectSame(data: readonly OpenAI.Embedding[], vectors: readonly number[][]): void {
    expect(data.map(({ object, index }) => ({ object, index }))).toEqual(
      vectors.map((_, index) => ({ object: 'embedding', index })),
    )
    for (const [i, { embedding }] of data.entries()) {
      expect(embedding).toHaveLength(vectors[i]?.length ?? 0)
      expect(cosine(embedding, vectors[i] ?? [])).toBeGreaterThan(0.999999)
    }
  }

  it('shouldEmbedATextAsItAsksByDefault', async () => {
    const { data, model, object, usage } = await client.embeddings.create({
      model: 'bookworm',
      input: TEXTS[0] ?? '',
    })
    expectSame(data, expected.slice(0, 1))
    expect({ model, object }).toEqual({ model: 'bookworm', object: 'list' })
    expect(usage.prompt_tokens).toBeGreaterThan(3)
    expect(usage.total_tokens).toBe(usage.prompt_tokens)
  })

  it('shouldEmbedAListOfTexts', async () => {
    const { data } = await client.embeddings.create({ model: 'bookworm', input: TEXTS })
    expectSame(data, expected)
  })

  it('shouldEmbedTokens', async () => {
    const lists = [
      [40, 491, 79, 12, 895, 1],
      [65, 66],
    ]
    const vectors = await embed(lists)
    const { data: one, usage } = await client.embeddings.create({ model: 'bookworm', input: lists[0] ?? [] })
    expectSame(one, vectors.slice(0, 1))
    expect(usage.prompt_tokens).toBe(6)
    const { data: both } = await client.embeddings.create({ model: 'bookworm', input: lists })
    expectSame(both, vectors)
  })

  it.each(['float', 'base64'] as const)('shouldGetVectorsIn %s', async (encoding_format) => {
    const { data } = await client.embeddings.create({ model: 'bookworm', input: TEXTS, encoding_format })
    if (encoding_format === 'float') {
      expectSame(data, expected)
      return
    }
    for (const [i, { embedding }] of data.entries()) {
      // The client leaves them encoded where it was told the encoding.
      const bytes = Buffer.from(embedding as unknown as string, 'base64')
      const vector = Array.from({ length: bytes.length / 4 }, (_, j) => bytes.readFloatLE(j * 4))
      expect(vector).toHaveLength(HIDDEN_SIZE)
      expect(cosine(vector, expected[i] ?? [])).toBeGreaterThan(0.999999)
    }
  })

  it('shouldGetFewerDimensionsNormalised', async () => {
    const { data } = await client.embeddings.create({ model: 'bookworm', input: TEXTS, dimensions: 32 })
    expectSame(
      data,
      expected.map((vector) => vector.slice(0, 32)),
    )
    expect(Math.hypot(...(data[0]?.embedding ?? []))).toBeCloseTo(1, 5)
  })

  it('shouldListAndRetrieveModels', async () => {
    const listed: OpenAI.Model[] = []
    for await (const model of client.models.list()) {
      listed.push(model)
    }
    expect(listed.map(({ id }) => id)).toEqual(['bookworm'])
    expect(listed[0]).toMatchObject({
      object: 'model',
      owned_by: expect.any(String),
      created: expect.any(Number),
    })
    expect(await client.models.retrieve('bookworm')).toEqual(listed[0])
  })

  it('shouldShowWhatIsWrong', async () => {
    await expect(client.models.retrieve('gpt-9')).rejects.toBeInstanceOf(NotFoundError)
    await expect(client.embeddings.create({ model: 'gpt-9', input: 'x' })).rejects.toMatchObject({
      status: 404,
      message: expect.stringContaining('GET /v1/models lists the models'),
    })
    const wrong = client.embeddings.create({ model: 'bookworm', input: 'x', dimensions: 257 })
    await expect(wrong).rejects.toBeInstanceOf(BadRequestError)
    await expect(wrong).rejects.toMatchObject({
      status: 400,
      param: 'dimensions',
      message: expect.stringContaining('from 1 to 256'),
    })
  })
  it('shouldBeAnsweredOnAPageOfAnotherOrigin', async () => {
    const site = await serveClient()
    const browser = await launchBrowser({ webgpu: false })
    try {
      const page = await browser.newPage()
      await page.goto(`http://127.0.0.1:${(site.address() as AddressInfo).port}/`)
      await page.waitForFunction(() => 'OpenAI' in globalThis)
      const { data, models } = await page.evaluate(
        async ([baseURL, input]) => {
          const { OpenAI: Client } = globalThis as unknown as { OpenAI: typeof OpenAI }
          const client = new Client({
            baseURL,
            apiKey: 'none',
            organization: 'none',
            project: 'none',
            timeout: 60_000,
            maxRetries: 0,
            dangerouslyAllowBrowser: true,
          })
          const { data } = await client.embeddings.create({ model: 'bookworm', input }, { timeout: 30_000 })
          const models = (await client.models.list()).data.map(({ id }) => id)
          return { data: data.map((one) => ({ ...one, embedding: Array.from(one.embedding) })), models }
        },
        [`${cloud.url}/v1`, TEXTS] as const,
      )
      expectSame(data, expected)
      expect(models).toEqual(['bookworm'])
    } finally {
      await browser.close()
      site.close()
    }
  })
})
