/** Continuations among which a text's own shall be. */
const NEIGHBOURS = 10

export type Vector = ArrayLike<number>

export function cosine(a: Vector, b: Vector): number {
  let [product, left, right] = [0, 0, 0]
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i] ?? Number.NaN, b[i] ?? Number.NaN]
    product += x * y
    left += x * x
    right += y * y
  }
  return product / Math.sqrt(left * right)
}

/**
 * How many of the texts have their own continuation among the ten nearest.
 *
 * @param texts by the place of their continuation
 */
export function hits(texts: ReadonlyMap<number, Vector>, continuations: readonly Vector[]): number {
  return [...texts].filter(([i, text]) => {
    const own = cosine(text, continuations[i] ?? [])
    return continuations.filter((other) => cosine(text, other) > own).length < NEIGHBOURS
  }).length
}
