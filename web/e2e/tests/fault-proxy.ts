import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'

/** What a request is for. */
export type Kind = 'shard' | 'sign' | 'embed' | 'other'

/** What goes wrong with one request. */
export type Fault =
  | { readonly status: number; readonly retryAfter?: number }
  /** No answer ever comes, and the connection stays. */
  | { readonly silent: true }
  /** The connection ends in the middle of the body. */
  | { readonly cut: true }
  /** One byte in the middle is another. */
  | { readonly corrupt: true }
  /** 10 KB/s for two seconds, then as fast as it goes. */
  | { readonly slow: true }
  /** The body stops after so many bytes, and the connection stays. */
  | { readonly hold: number }
  /** S3 gets another signature than it gave, as if its time were over. */
  | { readonly expired: true }

interface Planned {
  readonly kind: Kind
  readonly fault: Fault
  /** Requests of the kind that still come whole. */
  skip: number
  left: number
}

const SLOW_BYTES_PER_SECOND = 10_000
const SLOW_MS = 2_000
const SLICES = 20
const WORKER_HOOKS = `
  // What a worker has open can be counted from a test, and its GPU broken: what a page patches does not reach a worker.
  self.gpus = []
  self.buffers = new Set()
  self.handles = new Set()
  const channel = new BroadcastChannel('held')
  channel.onmessage = ({ data }) => {
    if (data === 'ask') {
      channel.postMessage({ worker: self.name, buffers: self.buffers.size, handles: self.handles.size })
    }
  }
  // The next result is kept back for so long, or has no finite value.
  self.stallMs = 0
  self.stalled = false
  self.spoil = false
  const { requestDevice } = GPUAdapter.prototype
  GPUAdapter.prototype.requestDevice = async function (...options) {
    const device = await requestDevice.apply(this, options)
    self.gpus.push(device)
    return device
  }
  const { createBuffer } = GPUDevice.prototype
  GPUDevice.prototype.createBuffer = function (descriptor) {
    const buffer = createBuffer.call(this, descriptor)
    self.buffers.add(buffer)
    return buffer
  }
  const { destroy, mapAsync, getMappedRange } = GPUBuffer.prototype
  GPUBuffer.prototype.destroy = function () {
    self.buffers.delete(this)
    destroy.call(this)
  }
  GPUBuffer.prototype.mapAsync = async function (...range) {
    const ms = self.stallMs
    self.stallMs = 0
    await mapAsync.apply(this, range)
    if (ms > 0) {
      self.stalled = true
      await new Promise((resolve) => setTimeout(resolve, ms))
      self.stalled = false
    }
  }
  GPUBuffer.prototype.getMappedRange = function (...range) {
    const bytes = getMappedRange.apply(this, range)
    if (self.spoil) {
      self.spoil = false
      new Float32Array(bytes).fill(Number.NaN)
    }
    return bytes
  }
  // Parts of shards are hashed on one thread or on another.
  self.digests = 0
  const { digest } = SubtleCrypto.prototype
  SubtleCrypto.prototype.digest = function (...what) {
    self.digests++
    return digest.apply(this, what)
  }
  const { createSyncAccessHandle } = FileSystemFileHandle.prototype
  FileSystemFileHandle.prototype.createSyncAccessHandle = async function (...options) {
    const handle = await createSyncAccessHandle.apply(this, options)
    self.handles.add(handle)
    return handle
  }
  const { close } = FileSystemSyncAccessHandle.prototype
  FileSystemSyncAccessHandle.prototype.close = function () {
    self.handles.delete(this)
    close.call(this)
  }
`
const PAGE = `<!doctype html><title>SplitCompute</title><link rel="icon" href="data:,">
  <script type="module">import { SplitCompute } from '/sdk/splitcompute.js'; window.SplitCompute = SplitCompute</script>`

/**
 * Stands between a page and the local cloud and breaks what it is told to break. It serves a page of its own with the SDK,
 * and takes S3's addresses in answers for its own, so that shards come by way of it too.
 */
export class FaultProxy {
  /** Requests that arrived, by kind. */
  readonly seen: { readonly kind: Kind; readonly path: string; readonly range: string | undefined }[] = []
  /** Every request breaks off while this is set, but for scripts: a browser has them in its cache. */
  offline = false
  /** How fast bodies are sent; as fast as it goes where it is undefined. */
  bytesPerSecond: number | undefined
  readonly #planned: Planned[] = []
  readonly #sockets = new Set<Socket>()
  /** Connections on which a script is under way. */
  readonly #scripts = new Set<Socket>()
  readonly #server: Server

  private constructor(private readonly cloud: URL) {
    this.#server = createServer((incoming, response) => {
      this.#answer(incoming, response).catch(() => response.destroy())
    })
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    })
  }

  static async start(cloud: string): Promise<FaultProxy> {
    const proxy = new FaultProxy(new URL(cloud))
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve))
    return proxy
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Requests of a kind go wrong in this way, after those that are skipped. */
  plan(kind: Kind, fault: Fault, { times = 1, skip = 0 } = {}): void {
    this.#planned.push({ kind, fault, skip, left: times })
  }

  /** Whether all that was planned has happened. */
  get done(): boolean {
    return this.#planned.length === 0
  }

  heal(): void {
    this.#planned.length = 0
    this.offline = false
    this.bytesPerSecond = undefined
  }

  /** Ends every connection but those with scripts, also those that wait in the browser's pool. */
  breakConnections(): void {
    for (const socket of this.#sockets) {
      if (!this.#scripts.has(socket)) {
        socket.destroy()
      }
    }
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async #answer(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(incoming.url ?? '', this.url)
    if (/\.js$/.test(url.pathname)) {
      const { socket } = incoming
      this.#scripts.add(socket)
      response.once('close', () => this.#scripts.delete(socket))
    } else if (this.offline) {
      incoming.socket.destroy()
      return
    }
    if (url.pathname === '/') {
      const policy = url.searchParams.get('policy')
      response.writeHead(200, {
        'Content-Type': 'text/html',
        ...(policy === null ? {} : { 'Content-Security-Policy': policy }),
      })
      response.end(PAGE)
      return
    }
    if (url.pathname === '/blind-worker.js') {
      const script = `import './blind.js'; import './sdk/splitcompute-worker.js'`
      response.writeHead(200, { 'Content-Type': 'text/javascript' }).end(script)
      return
    }
    if (url.pathname === '/blind.js') {
      const script = `Object.defineProperty(WorkerNavigator.prototype, 'gpu', { value: undefined })`
      response.writeHead(200, { 'Content-Type': 'text/javascript' }).end(script)
      return
    }
    if (url.pathname === '/hooks.js') {
      response.writeHead(200, { 'Content-Type': 'text/javascript' }).end(WORKER_HOOKS)
      return
    }
    if (url.pathname === '/worker.js') {
      const script = `import './hooks.js'; import './sdk/splitcompute-worker.js'`
      response.writeHead(200, { 'Content-Type': 'text/javascript' }).end(script)
      return
    }
    const kind = kindOf(url)
    this.seen.push({ kind, path: url.pathname, range: incoming.headers.range })
    const fault = this.#next(kind)
    if (fault !== undefined && 'status' in fault) {
      refuse(response, kind, fault.status, fault.retryAfter)
      return
    }
    if (fault !== undefined && 'silent' in fault) {
      incoming.resume()
      return
    }
    const answer = await this.#forward(incoming, url, fault !== undefined && 'expired' in fault)
    await deliver(response, answer, fault, this.bytesPerSecond)
  }

  #next(kind: Kind): Fault | undefined {
    const at = this.#planned.findIndex((planned) => planned.kind === kind)
    const planned = this.#planned[at]
    if (planned !== undefined && planned.skip-- > 0) {
      return undefined
    }
    if (planned !== undefined && --planned.left === 0) {
      this.#planned.splice(at, 1)
    }
    return planned?.fault
  }

  async #forward(incoming: IncomingMessage, url: URL, expired: boolean): Promise<Answer> {
    const target = targetOf(url, this.cloud)
    if (expired) {
      target.searchParams.set('X-Amz-Signature', '0'.repeat(64))
    }
    const headers = { ...incoming.headers, host: target.host }
    // Answers are changed on their way, so they must not come compressed.
    delete headers['accept-encoding']
    const forwarded = request(target, { method: incoming.method, headers })
    incoming.pipe(forwarded)
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      forwarded.on('response', resolve)
      forwarded.on('error', reject)
    })
    const chunks: Buffer[] = []
    for await (const chunk of answer) {
      chunks.push(chunk as Buffer)
    }
    let body = Buffer.concat(chunks)
    if (/json/.test(answer.headers['content-type'] ?? '') && /\/shards$|\/embed$/.test(url.pathname)) {
      body = Buffer.from(body.toString().replaceAll(/http:\/\/127\.0\.0\.1:(\d+)\//g, `${this.url}/s3/$1/`))
    }
    return { status: answer.statusCode ?? 502, headers: answer.headers, body }
  }
}

interface Answer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
}

function kindOf({ pathname }: URL): Kind {
  if (pathname.startsWith('/s3/')) {
    return 'shard'
  }
  if (pathname.endsWith('/shards')) {
    return 'sign'
  }
  return pathname === '/v1/embed' ? 'embed' : 'other'
}

/** S3's address is in the path: a signature binds host and port, so S3 must see its own. */
function targetOf(url: URL, cloud: URL): URL {
  const s3 = /^\/s3\/(\d+)(\/.*)$/.exec(url.pathname)
  const target = new URL(cloud)
  target.port = s3?.[1] ?? cloud.port
  target.pathname = s3?.[2] ?? url.pathname
  target.search = url.search
  return target
}

function refuse(response: ServerResponse, kind: Kind, status: number, retryAfter: number | undefined): void {
  const type = kind === 'shard' ? 'application/xml' : 'application/problem+json'
  const body =
    kind === 'shard'
      ? '<Error><Code>Fault</Code></Error>'
      : JSON.stringify({ type: 'urn:fault', status, detail: 'A fault that was planned.' })
  response.writeHead(status, {
    'Content-Type': type,
    ...(retryAfter === undefined ? {} : { 'Retry-After': String(retryAfter) }),
  })
  response.end(body)
}

async function deliver(
  response: ServerResponse,
  answer: Answer,
  fault: Fault | undefined,
  bytesPerSecond: number | undefined,
): Promise<void> {
  const { body } = answer
  const headers = { ...answer.headers, 'content-length': String(body.byteLength) }
  delete headers['transfer-encoding']
  response.writeHead(answer.status, headers)
  const middle = body.byteLength >> 1
  if (fault !== undefined && 'cut' in fault) {
    response.write(body.subarray(0, middle))
    setTimeout(() => response.destroy(), 50)
    return
  }
  if (fault !== undefined && 'hold' in fault) {
    response.write(body.subarray(0, fault.hold))
    return
  }
  if (fault !== undefined && 'corrupt' in fault) {
    body[middle] = (body[middle] ?? 0) ^ 1
  }
  let sent = 0
  if (fault !== undefined && 'slow' in fault) {
    const slice = (SLOW_BYTES_PER_SECOND * SLOW_MS) / 1_000 / SLICES
    for (let i = 0; i < SLICES && sent < body.byteLength; i++) {
      response.write(body.subarray(sent, sent + slice))
      sent += slice
      await new Promise((resolve) => setTimeout(resolve, SLOW_MS / SLICES))
    }
  }
  if (bytesPerSecond !== undefined) {
    const start = performance.now()
    for (const begun = sent; sent < body.byteLength; ) {
      const due = Math.min(
        body.byteLength,
        begun + Math.floor(((performance.now() - start) / 1_000) * bytesPerSecond),
      )
      if (due > sent) {
        response.write(body.subarray(sent, due))
        sent = due
      }
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
  response.end(body.subarray(sent))
}
