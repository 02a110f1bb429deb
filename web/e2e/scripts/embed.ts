import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Dtype } from 'splitcompute'
import { launchBrowser } from '../tests/browser.ts'
import { embedAt, openSdk } from '../tests/sdk-page.ts'

// Embeds a text by the SDK on a page in headless Chromium, and prints what came of it as JSON, for tests of an API elsewhere:
//   ENDPOINT=http://127.0.0.1:9000 ORIGIN=http://site.localhost MODEL=bookworm DTYPE=f32 CUTS=8,4,0 TEXT='Rain fell.' npm run embed
const { ENDPOINT = '', ORIGIN = '', MODEL = '', DTYPE = '', CUTS = '', TEXT = '' } = process.env
const SDK = readFileSync(new URL('../../sdk/dist/splitcompute.js', import.meta.url))

const site = createServer(({ url }, response) => {
  const script = url === '/sdk/splitcompute.js'
  response.writeHead(200, { 'Content-Type': script ? 'text/javascript' : 'text/html' })
  response.end(script ? SDK : '<!doctype html><title>Embed</title>')
})
await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve))
const { port } = site.address() as AddressInfo
// The page's origin is one that API and buckets were told to answer, whatever port was free.
const browser = await launchBrowser({
  webgpu: true,
  args: [`--host-resolver-rules=MAP ${new URL(ORIGIN).host} 127.0.0.1:${port}`],
})
try {
  const page = await browser.newPage()
  const requests: string[] = []
  page.on('response', (response) => {
    const { origin, pathname } = new URL(response.url())
    requests.push(`${response.status()} ${response.request().method()} ${origin}${pathname}`)
  })
  await openSdk(page, ORIGIN, { endpoint: ENDPOINT, model: MODEL, dtype: DTYPE as Dtype })
  const embeddings = []
  for (const cut of CUTS.split(',')) {
    embeddings.push(...(await embedAt(page, [TEXT], Number(cut))))
  }
  console.log(JSON.stringify({ embeddings, requests }))
} finally {
  await browser.close()
  site.close()
}
