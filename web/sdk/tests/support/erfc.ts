/**
 * The complementary error function in f64: its Maclaurin series (Abramowitz and Stegun 7.1.6) near zero, its continued
 * fraction (7.1.14) beyond, both summed until they stand still.
 */
export function erfc(x: number): number {
  if (x < 0) {
    return 2 - erfc(-x)
  }
  if (x < 2) {
    let term = x
    let sum = x
    for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum); n++) {
      term *= (2 * x * x) / (2 * n + 1)
      sum += term
    }
    return 1 - (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum
  }
  let fraction = x
  for (let n = 120; n > 0; n--) {
    fraction = x + n / 2 / fraction
  }
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / fraction
}
