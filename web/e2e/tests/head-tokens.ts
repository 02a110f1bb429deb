import { tensorBytes } from './safetensors.ts'

/** What a request may have. */
const MOST_TOKENS = 16_384
const MOST_INPUTS = 2_048

/** Posts a body in JSON. */
export function post(url: string, body: unknown): Promise<Response> {
  const headers = { 'Content-Type': 'application/json' }
  return fetch(url, { method: 'POST', headers, body: JSON.stringify(body) })
}

/**
 * The token ids of each text as the head has them: at cut 0 they are all that it answers.
 *
 * @param most tokens of a text, or more
 */
export async function headTokens(
  url: string,
  model: string,
  texts: readonly string[],
  most: (index: number) => number,
): Promise<number[][]> {
  const all: number[][] = []
  while (all.length < texts.length) {
    let [end, room] = [all.length, MOST_TOKENS]
    while (end < texts.length && end - all.length < MOST_INPUTS && room >= most(end)) {
      room -= most(end++)
    }
    const response = await post(`${url}/v1/embed`, { model, input: texts.slice(all.length, end), cut: 0 })
    if (!response.ok) {
      throw new Error(`The head refused: ${await response.text()}`)
    }
    const message = new Uint8Array(await response.arrayBuffer())
    const tokens = new Int32Array(tensorBytes(message, 'tokens').buffer)
    let start = 0
    for (const length of new Int32Array(tensorBytes(message, 'lengths').buffer)) {
      all.push(Array.from(tokens.subarray(start, start + length)))
      start += length
    }
  }
  return all
}
