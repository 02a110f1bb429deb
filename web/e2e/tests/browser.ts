import { type Browser, type BrowserContext, chromium } from 'playwright-core'
import { chromiumPath } from '../../browser/chromium.ts'

const QUIET = [
  '--no-sandbox',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
]

/** WebGPU on the SwiftShader that Chromium brings along. */
const WEBGPU = [
  '--enable-unsafe-webgpu',
  '--use-webgpu-adapter=swiftshader',
  '--enable-features=Vulkan',
  '--use-vulkan=swiftshader',
]

/** @param args more of Chromium's switches */
export function launchBrowser({
  webgpu,
  args = [],
}: {
  webgpu: boolean
  args?: readonly string[]
}): Promise<Browser> {
  const features = webgpu ? WEBGPU : ['--disable-features=WebGPU,WebGPUService']
  return chromium.launch({ executablePath: chromiumPath(), args: [...QUIET, ...features, ...args] })
}

/** A browser with a profile of its own on the disk: there the quota of an origin can be set. */
export function launchProfile(folder: string): Promise<BrowserContext> {
  return chromium.launchPersistentContext(folder, {
    executablePath: chromiumPath(),
    args: [...QUIET, ...WEBGPU],
  })
}
