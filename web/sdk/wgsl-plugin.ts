import type { Plugin } from 'vite'

/** Imports a `.wgsl` file as a string, without its comments and indentation: they would only weigh in the bundle. */
export function wgsl(): Plugin {
  return {
    name: 'wgsl',
    transform(source, id) {
      if (!id.endsWith('.wgsl')) {
        return null
      }
      const lines = source.split('\n').map((line) => line.replace(/\/\/.*$/, '').trim())
      return {
        code: `export default ${JSON.stringify(lines.filter((line) => line !== '').join('\n'))}`,
        map: null,
        moduleType: 'js',
      }
    },
  }
}
