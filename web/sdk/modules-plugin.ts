import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Plugin } from 'vite'
import { build } from 'vite'
import { wgsl } from './wgsl-plugin.ts'

const WORKER = 'virtual:worker'
const TOKENIZER = 'virtual:tokenizer'

const path = (file: string) => fileURLToPath(new URL(file, import.meta.url))
const workerEntry = path('src/device/worker.ts')
const tokenizerEntry = path('src/tokenizer/tokenizer.ts')

/** Stands for `import.meta.url` until the bundle is written: Vite would look for files that are written beside it. */
const HERE = '__SPLITCOMPUTE_MODULE_URL__'

/**
 * The modules that are files of their own: the worker, whose code is also inlined so that the SDK needs no second file, and
 * the tokenizer, which few pages need.
 */
export function builtModules(): Plugin {
  return {
    name: 'splitcompute-modules',
    resolveId: (id) => (id === WORKER || id === TOKENIZER ? `\0${id}` : null),
    async load(id) {
      if (id === `\0${TOKENIZER}`) {
        this.emitFile({
          type: 'asset',
          fileName: 'splitcompute-tokenizer.js',
          source: await bundle(tokenizerEntry),
        })
        return `export const importTokenizer = () =>
          import(/* @vite-ignore */ new URL('./splitcompute-tokenizer.js', ${HERE}).href)`
      }
      if (id === `\0${WORKER}`) {
        const source = await bundle(workerEntry)
        this.emitFile({ type: 'asset', fileName: 'splitcompute-worker.js', source })
        return `export const source = ${JSON.stringify(source)}
          export async function importWorker() {
            const url = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }))
            try {
              return await import(/* @vite-ignore */ url)
            } catch {
              // A page's policy may forbid blobs.
              return await import(/* @vite-ignore */ new URL('./splitcompute-worker.js', ${HERE}).href)
            } finally {
              URL.revokeObjectURL(url)
            }
          }`
      }
      return null
    },
    writeBundle({ dir }, output) {
      for (const item of Object.values(output)) {
        if (item.type === 'chunk' && dir !== undefined) {
          writeFileSync(`${dir}/${item.fileName}`, item.code.replaceAll(HERE, 'import.meta.url'))
        }
      }
    },
  }
}

/** The same modules from their sources, for tests outside a browser. */
export function sourceModules(): Plugin {
  return {
    name: 'splitcompute-modules',
    enforce: 'pre',
    resolveId: (id) => (id === WORKER || id === TOKENIZER ? `\0${id}` : null),
    load(id) {
      if (id === `\0${TOKENIZER}`) {
        return `export const importTokenizer = () => import(${JSON.stringify(tokenizerEntry)})`
      }
      if (id === `\0${WORKER}`) {
        return `export const source = ''\nexport const importWorker = () => import(${JSON.stringify(workerEntry)})`
      }
      return null
    },
  }
}

/** One entry with all that it imports as one minified ES module. */
async function bundle(entry: string): Promise<string> {
  const result = await build({
    configFile: false,
    logLevel: 'warn',
    plugins: [wgsl()],
    build: {
      target: 'es2022',
      write: false,
      modulePreload: false,
      rollupOptions: {
        input: entry,
        preserveEntrySignatures: 'strict',
        output: { format: 'es' },
      },
    },
  })
  const [chunk, ...others] = 'output' in result ? result.output : []
  if (chunk?.type !== 'chunk' || others.length > 0) {
    throw new Error(`${entry} is not one file.`)
  }
  return chunk.code
}
