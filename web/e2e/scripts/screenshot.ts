import { mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { launchBrowser } from '../tests/browser.ts'
import { LocalCloud } from '../tests/local-cloud.ts'

// Takes the README's picture: the page after an embedding with half of the layers on the device.
const target = fileURLToPath(new URL('../../../docs/page.png', import.meta.url))
const cloud = await LocalCloud.start()
const browser = await launchBrowser({ webgpu: true })
try {
  const page = await browser.newPage({ viewport: { width: 800, height: 900 }, deviceScaleFactor: 2 })
  await page.goto(cloud.url)
  await page.getByText('All weights are here').waitFor({ timeout: 90_000 })
  await page.$eval('#cut', (slider) => {
    ;(slider as HTMLInputElement).value = '4'
    slider.dispatchEvent(new Event('input'))
  })
  await page.click('#embed')
  await page.waitForSelector('#result:not([hidden])', { timeout: 90_000 })
  mkdirSync(new URL('.', `file://${target}`), { recursive: true })
  await page.screenshot({ path: target, fullPage: true })
  console.log(target)
} finally {
  await browser.close()
  await cloud.stop()
}
