/** What `config.json` beside the page says. */
export interface SiteConfig {
  /** The API's address, relative to the page; empty for the page's origin. */
  readonly endpoint: string
  /** The model to begin with; the first one of the API where it is left out. */
  readonly model?: string
}

export async function loadConfig(): Promise<SiteConfig> {
  const response = await fetch(new URL('config.json', document.baseURI), { cache: 'no-cache' })
  if (!response.ok) {
    throw new Error(`The page's config.json could not be read: the server answered ${response.status}.`)
  }
  return parseConfig(await response.json())
}

/** @throws Error for what is no configuration */
export function parseConfig(value: unknown): SiteConfig {
  const { endpoint, model } = (value ?? {}) as Record<string, unknown>
  if (typeof endpoint !== 'string') {
    throw new Error('The page\'s config.json has no "endpoint".')
  }
  return typeof model === 'string' && model !== '' ? { endpoint, model } : { endpoint }
}
