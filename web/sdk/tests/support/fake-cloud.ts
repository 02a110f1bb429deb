import { createHash, randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { toHalves } from './half'
import { Reference, shardWeights } from './reference'
import { writeSafetensors } from './safetensors-writer'
import { manifestBytes, readManifest, shardBytes } from './store'

export interface SeenRequest {
  readonly method: string
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

/** What a test makes go wrong: gets a request and answers it, or leaves it to the cloud by returning false. */
export type Fault = (request: SeenRequest, response: ServerResponse) => boolean

interface EmbedBody {
  readonly input: string[] | number[][]
  readonly cut: number
  readonly pooling?: 'mean' | 'last' | 'cls' | 'none'
  readonly normalize?: boolean
  readonly dtype?: 'f32' | 'f16'
}

/** A small cloud for one model of the store, API and S3 in one server, whose head is the f64 reference. */
export class FakeCloud {
  readonly requests: SeenRequest[] = []
  /** Asked before the cloud answers, in order; the first that answers has answered. */
  readonly faults: Fault[] = []
  revision: string
  /** Messages of more bytes go by way of a location. */
  bodyLimit = 4_500_000
  /** How long the head takes at least. */
  delayMs = 0
  /** Beyond these a request is refused. */
  limits = { maxInputs: 2_048, maxTokensPerRequest: 16_384 }
  readonly #signatures = new Set<string>()
  readonly #objects = new Map<string, Uint8Array>()
  readonly #reference: Reference
  readonly #manifest: ReturnType<typeof readManifest>

  private constructor(
    private readonly model: string,
    private readonly server: Server,
  ) {
    this.#manifest = readManifest(model)
    this.#reference = new Reference(this.#manifest, shardWeights(this.#manifest, 'f32'))
    this.revision = createHash('sha256').update(manifestBytes(model)).digest('hex')
  }

  static async start(model: string): Promise<FakeCloud> {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const cloud = new FakeCloud(model, server)
    server.on('request', (request, response) => {
      cloud.#answer(request, response).catch((error: unknown) => response.destroy(error as Error))
    })
    return cloud
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }

  /** Requests whose path begins so. */
  seen(path: string): SeenRequest[] {
    return this.requests.filter((request) => request.path.startsWith(path))
  }

  /** Every URL signed so far is refused from now on. */
  expireUrls(): void {
    this.#signatures.clear()
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections()
    await new Promise((resolve) => this.server.close(resolve))
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '', this.url)
    const body = await text(request)
    const seen = { method: request.method ?? '', path: url.pathname, headers: request.headers, body }
    this.requests.push(seen)
    if (this.faults.some((fault) => fault(seen, response))) {
      return
    }
    if (url.pathname === `/v1/models/${this.model}`) {
      json(response, { id: this.model, limits: this.limits })
      return
    }
    if (url.pathname === `/v1/models/${this.model}/manifest`) {
      send(response, 200, 'application/json', manifestBytes(this.model))
      return
    }
    if (url.pathname === `/v1/models/${this.model}/shards`) {
      const { shards } = JSON.parse(body) as { shards: string[] }
      json(response, { urls: shards.map((sha256) => this.#sign(sha256)) })
      return
    }
    if (url.pathname.startsWith('/s3/')) {
      this.#object(url, request.headers.range, response)
      return
    }
    if (url.pathname === '/v1/embed') {
      await new Promise((resolve) => setTimeout(resolve, this.delayMs))
      this.#embed(JSON.parse(body) as EmbedBody, request.headers.accept ?? '', response)
      return
    }
    problem(response, 404, 'model-not-found')
  }

  #sign(sha256: string) {
    const signature = randomUUID()
    this.#signatures.add(signature)
    return { sha256, url: `${this.url}/s3/shards/${sha256}?signature=${signature}`, expires: 'soon' }
  }

  #object(url: URL, range: string | undefined, response: ServerResponse): void {
    if (!this.#signatures.has(url.searchParams.get('signature') ?? '')) {
      send(response, 403, 'application/xml', Buffer.from('<Error/>'))
      return
    }
    const key = url.pathname.slice('/s3/'.length)
    const bytes = this.#objects.get(key) ?? shardBytes(key.slice('shards/'.length))
    const from = Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0)
    send(response, range === undefined ? 200 : 206, 'application/octet-stream', bytes.subarray(from))
  }

  #embed(body: EmbedBody, accept: string, response: ServerResponse): void {
    const { layers, hiddenSize } = this.#manifest
    const sequences = body.input.map((input) => (typeof input === 'string' ? fakeTokens(input) : input))
    const tokens = Int32Array.from(sequences.flat())
    const lengths = Int32Array.from(sequences, (sequence) => sequence.length)
    if (
      sequences.length > this.limits.maxInputs ||
      tokens.length > this.limits.maxTokensPerRequest ||
      lengths.some((length) => length === 0 || length > this.#manifest.maxTokens)
    ) {
      problem(response, 400, 'invalid-request')
      return
    }
    const embedded = this.#reference.embed(tokens, lengths)
    let hidden = this.#reference.layers(0, body.cut, embedded, lengths)
    if (body.cut === layers) {
      hidden = this.#reference.final(hidden)
    }
    const pooling = body.pooling ?? 'mean'
    if (body.cut === layers && pooling !== 'none' && !accept.includes('splitcompute')) {
      const pooled = this.#reference.pool(hidden, lengths, pooling, body.normalize ?? true)
      const embeddings = pooled.map((vector) => Array.from(vector))
      json(response, {
        model: this.model,
        revision: this.revision,
        cut: layers,
        embeddings,
        lengths: Array.from(lengths),
      })
      return
    }
    const halves = body.dtype !== 'f32'
    const values = halves ? toHalves(hidden) : Float32Array.from(hidden)
    const message = writeSafetensors(
      {
        format: 'splitcompute.activations/1',
        model: this.model,
        revision: this.revision,
        cut: String(body.cut),
        ledger: '{}',
      },
      [
        { name: 'tokens', dtype: 'I32', shape: [tokens.length], bytes: new Uint8Array(tokens.buffer) },
        { name: 'lengths', dtype: 'I32', shape: [lengths.length], bytes: new Uint8Array(lengths.buffer) },
        ...(body.cut === 0
          ? []
          : [
              {
                name: 'hidden',
                dtype: halves ? 'F16' : 'F32',
                shape: [tokens.length, hiddenSize],
                bytes: new Uint8Array(values.buffer),
              },
            ]),
      ],
    )
    if (message.byteLength <= this.bodyLimit) {
      send(response, 200, 'application/vnd.splitcompute.activations', message)
      return
    }
    const signature = randomUUID()
    this.#signatures.add(signature)
    const key = `activations/${randomUUID()}`
    this.#objects.set(key, message)
    const location = {
      url: `${this.url}/s3/${key}?signature=${signature}`,
      bytes: message.byteLength,
      sha256: createHash('sha256').update(message).digest('hex'),
      expires: 'soon',
    }
    send(
      response,
      200,
      'application/vnd.splitcompute.location+json; charset=utf-8',
      Buffer.from(JSON.stringify(location)),
    )
  }
}

/** Texts become their character codes: any tokenizer will do. */
export function fakeTokens(input: string): number[] {
  return Array.from(input, (character) => character.charCodeAt(0) % 257)
}

export function problem(
  response: ServerResponse,
  status: number,
  type: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  const body = { type: `urn:splitcompute:problem:${type}`, status, detail: `The fake cloud says ${type}.` }
  response.writeHead(status, { 'Content-Type': 'application/problem+json', ...headers })
  response.end(JSON.stringify({ ...body, field: 'input' }))
}

/** Answers the first `times` requests whose path begins so in this way. */
export function failing(path: string, times: number, answer: (response: ServerResponse) => void): Fault {
  let left = times
  return (request, response) => {
    if (left === 0 || !request.path.startsWith(path)) {
      return false
    }
    left--
    answer(response)
    return true
  }
}

function json(response: ServerResponse, value: unknown): void {
  send(response, 200, 'application/json', Buffer.from(JSON.stringify(value)))
}

function send(response: ServerResponse, status: number, type: string, bytes: Uint8Array): void {
  response.writeHead(status, { 'Content-Type': type, 'Content-Length': bytes.byteLength })
  response.end(bytes)
}

async function text(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) {
    chunks.push(chunk as Buffer)
  }
  return Buffer.concat(chunks).toString()
}
