/** Draws a vector as a strip of colours: one hue below zero, another above, the stronger the farther from it. */
export function drawHeatStrip(canvas: HTMLCanvasElement, values: Float32Array): void {
  canvas.width = values.length
  canvas.height = 1
  const context = canvas.getContext('2d')
  if (context === null) {
    return
  }
  const style = getComputedStyle(canvas)
  const [positive, negative] = ['--positive', '--negative'].map((name) => resolveColour(style, name))
  // The largest values of an embedding are outliers: scaled to them, the rest would be blank.
  const sorted = Array.from(values, Math.abs).sort((a, b) => a - b)
  const scale = sorted[Math.floor(sorted.length * 0.95)] || 1
  for (const [i, value] of values.entries()) {
    context.globalAlpha = Math.min(1, Math.abs(value) / scale)
    context.fillStyle = (value < 0 ? negative : positive) ?? ''
    context.fillRect(i, 0, 1, 1)
  }
}

/** A canvas does not know `light-dark()`, a computed `color` has resolved it. */
function resolveColour(style: CSSStyleDeclaration, name: string): string {
  const probe = document.createElement('span')
  probe.style.color = style.getPropertyValue(name)
  document.body.append(probe)
  const colour = getComputedStyle(probe).color
  probe.remove()
  return colour
}
