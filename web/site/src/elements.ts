/** The page's element with this id; a missing one is a mistake in the page, not a state of it. */
export function element<T extends HTMLElement>(id: string, type: abstract new () => T): T {
  const found = document.getElementById(id)
  if (!(found instanceof type)) {
    throw new Error(`The page has no ${type.name} "${id}".`)
  }
  return found
}

export function showText(id: string, text: string): void {
  element(id, HTMLElement).textContent = text
}

/** Shows a sentence in its own place, or hides the place without one. */
export function showSentence(id: string, sentence: string | undefined): void {
  const place = element(id, HTMLElement)
  place.textContent = sentence ?? ''
  place.hidden = sentence === undefined
}
