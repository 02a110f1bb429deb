declare module 'virtual:worker' {
  /** The script of the worker, an ES module; empty where the sources run unbuilt, as in the tests. */
  export const source: string
  /** The same module on this thread. */
  export function importWorker(): Promise<typeof import('./device/worker')>
}

declare module 'virtual:tokenizer' {
  /** The tokenizer in a file of its own. */
  export function importTokenizer(): Promise<typeof import('./tokenizer/tokenizer')>
}
