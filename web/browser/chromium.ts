import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const VERSION = '147.0.0'

/** The folder with the headless Chromium of `@sparticuz/chromium` and its SwiftShader, unpacked at the first call. */
function unpacked(): string {
  const target = join(here, '..', 'target')
  const folder = join(target, `chromium-${VERSION}`)
  if (!existsSync(folder)) {
    mkdirSync(target, { recursive: true })
    // The package unpacks into the temporary folder and takes a half-written file for a whole one, so it gets a
    // temporary folder of its own, which appears under its final name only when it is complete.
    const temporary = mkdtempSync(join(target, 'unpacking-'))
    const program = "import('@sparticuz/chromium').then((module) => module.default.executablePath())"
    const { status, stderr } = spawnSync(process.execPath, ['-e', program], {
      cwd: here,
      env: { ...process.env, TMPDIR: temporary },
      encoding: 'utf8',
    })
    if (status !== 0) {
      throw new Error(`Chromium could not be unpacked: ${stderr}`)
    }
    try {
      renameSync(temporary, folder)
    } catch (error) {
      // Another process may have been faster.
      rmSync(temporary, { recursive: true, force: true })
      if (!existsSync(folder)) {
        throw error
      }
    }
  }
  return folder
}

/** The path of a headless Chromium that has WebGPU without a GPU. */
export function chromiumPath(): string {
  return join(unpacked(), 'chromium')
}

/** The environment in which Dawn finds a Vulkan driver: nothing where the system has one, else SwiftShader. */
export function vulkanEnvironment(): Record<string, string> {
  const drivers = ['/usr/share/vulkan/icd.d', '/etc/vulkan/icd.d', '/usr/local/nvidia/share/vulkan/icd.d']
  const installed = drivers.some((folder) => existsSync(folder) && readdirSync(folder).length > 0)
  if (process.platform !== 'linux' || installed || 'VK_ICD_FILENAMES' in process.env) {
    return {}
  }
  return swiftshaderEnvironment()
}

/** The environment in which Dawn finds SwiftShader, whatever drivers the system has. */
export function swiftshaderEnvironment(): Record<string, string> {
  const folder = unpacked()
  const libraries = [folder, process.env.LD_LIBRARY_PATH].filter(Boolean).join(':')
  return { VK_ICD_FILENAMES: join(folder, 'vk_swiftshader_icd.json'), LD_LIBRARY_PATH: libraries }
}
