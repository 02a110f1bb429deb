// erfc to a relative error of 1.2e-7 everywhere: Chebyshev fit of Press, Teukolsky, Vetterling, Flannery,
// Numerical Recipes, section 6.2. One minus it would lose the small tail.
fn erfc(x: f32) -> f32 {
  let z = abs(x);
  let t = 1.0 / (1.0 + 0.5 * z);
  var p = fma(t, 0.17087277, -0.82215223);
  p = fma(t, p, 1.48851587);
  p = fma(t, p, -1.13520398);
  p = fma(t, p, 0.27886807);
  p = fma(t, p, -0.18628806);
  p = fma(t, p, 0.09678418);
  p = fma(t, p, 0.37409196);
  p = fma(t, p, 1.00002368);
  p = fma(t, p, -1.26551223);
  let tail = t * exp(p - z * z);
  return select(tail, 2.0 - tail, x < 0.0);
}

// 0 none, 1 gelu_tanh, 2 gelu_erf, 3 relu
fn activate(x: f32) -> f32 {
  if (ACTIVATION == 1u) {
    // Beyond 9.01 tanh is 1 in f32, and some drivers overflow to NaN on their way there.
    let inner = 0.7978845608028654 * (x + 0.044715 * x * x * x);
    return 0.5 * x * (1.0 + tanh(clamp(inner, -9.01, 9.01)));
  }
  if (ACTIVATION == 2u) {
    return 0.5 * x * erfc(x * -0.7071067811865476);
  }
  if (ACTIVATION == 3u) {
    // Not max(): it may lose a NaN.
    return select(x, 0.0, x < 0.0);
  }
  return x;
}
