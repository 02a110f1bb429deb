// output = activation(input x weight^T + bias), or output += it.
// A thread owns a register tile of 4 rows by 4 columns and walks the inner dimension 8 at a time, so that one
// vec4<u32> of packed halves is one step. Rows of `input` are padded with zeros to a multiple of 8 floats: what is read
// of `weight` beyond a row's end is multiplied by zero.
override F16: bool = false;
// Rows of f32 weights that do not start at a multiple of 16 bytes.
override UNALIGNED: bool = false;
// 0 none, 1 gelu_tanh, 2 gelu_erf, 3 relu
override ACTIVATION: u32 = 0u;
override ACCUMULATE: bool = false;

struct Params {
  rows: u32,
  columns: u32,
  steps: u32,
  // In vec4s; in words where UNALIGNED.
  weight_stride: u32,
  // In vec4s.
  input_stride: u32,
  // In floats.
  output_stride: u32,
}

struct Eight {
  low: vec4<f32>,
  high: vec4<f32>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> output: array<f32>;

fn four_from_word(word: u32) -> vec4<f32> {
  let a = weight[word >> 2u];
  let b = weight[(word >> 2u) + 1u];
  switch word & 3u {
    case 1u: { return bitcast<vec4<f32>>(vec4<u32>(a.yzw, b.x)); }
    case 2u: { return bitcast<vec4<f32>>(vec4<u32>(a.zw, b.xy)); }
    case 3u: { return bitcast<vec4<f32>>(vec4<u32>(a.w, b.xyz)); }
    default: { return bitcast<vec4<f32>>(a); }
  }
}

fn weights(row: u32, step: u32) -> Eight {
  if (F16) {
    let q = weight[row * params.weight_stride + step];
    return Eight(
      vec4<f32>(unpack2x16float(q.x), unpack2x16float(q.y)),
      vec4<f32>(unpack2x16float(q.z), unpack2x16float(q.w)),
    );
  }
  if (UNALIGNED) {
    let word = row * params.weight_stride + step * 8u;
    return Eight(four_from_word(word), four_from_word(word + 4u));
  }
  let at = row * params.weight_stride + step * 2u;
  return Eight(bitcast<vec4<f32>>(weight[at]), bitcast<vec4<f32>>(weight[at + 1u]));
}

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

fn activate(x: vec4<f32>) -> vec4<f32> {
  if (ACTIVATION == 1u) {
    // Beyond 9.01 tanh is 1 in f32, and some drivers overflow to NaN on their way there.
    let inner = 0.7978845608028654 * (x + 0.044715 * x * x * x);
    return 0.5 * x * (1.0 + tanh(clamp(inner, vec4<f32>(-9.01), vec4<f32>(9.01))));
  }
  if (ACTIVATION == 2u) {
    let z = x * -0.7071067811865476;
    return 0.5 * x * vec4<f32>(erfc(z.x), erfc(z.y), erfc(z.z), erfc(z.w));
  }
  if (ACTIVATION == 3u) {
    return max(x, vec4<f32>(0.0));
  }
  return x;
}

fn store(row: u32, column: u32, sums: vec4<f32>) {
  if (row >= params.rows) {
    return;
  }
  let last = params.columns - 1u;
  let result = activate(sums + vec4<f32>(
    bias[column],
    bias[min(column + 1u, last)],
    bias[min(column + 2u, last)],
    bias[min(column + 3u, last)],
  ));
  for (var i = 0u; i < 4u; i++) {
    if (column + i < params.columns) {
      let at = row * params.output_stride + column + i;
      if (ACCUMULATE) {
        output[at] += result[i];
      } else {
        output[at] = result[i];
      }
    }
  }
}

fn row_of_sums(a: Eight, w0: Eight, w1: Eight, w2: Eight, w3: Eight) -> vec4<f32> {
  return vec4<f32>(
    dot(a.low, w0.low) + dot(a.high, w0.high),
    dot(a.low, w1.low) + dot(a.high, w1.high),
    dot(a.low, w2.low) + dot(a.high, w2.high),
    dot(a.low, w3.low) + dot(a.high, w3.high),
  );
}

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let column = id.x * 4u;
  let row = id.y * 4u;
  if (column >= params.columns || row >= params.rows) {
    return;
  }
  let last_row = params.rows - 1u;
  let last_column = params.columns - 1u;
  let i0 = row * params.input_stride;
  let i1 = min(row + 1u, last_row) * params.input_stride;
  let i2 = min(row + 2u, last_row) * params.input_stride;
  let i3 = min(row + 3u, last_row) * params.input_stride;
  let c1 = min(column + 1u, last_column);
  let c2 = min(column + 2u, last_column);
  let c3 = min(column + 3u, last_column);
  var s0 = vec4<f32>();
  var s1 = vec4<f32>();
  var s2 = vec4<f32>();
  var s3 = vec4<f32>();
  for (var step = 0u; step < params.steps; step++) {
    let w0 = weights(column, step);
    let w1 = weights(c1, step);
    let w2 = weights(c2, step);
    let w3 = weights(c3, step);
    let k = step * 2u;
    s0 += row_of_sums(Eight(input[i0 + k], input[i0 + k + 1u]), w0, w1, w2, w3);
    s1 += row_of_sums(Eight(input[i1 + k], input[i1 + k + 1u]), w0, w1, w2, w3);
    s2 += row_of_sums(Eight(input[i2 + k], input[i2 + k + 1u]), w0, w1, w2, w3);
    s3 += row_of_sums(Eight(input[i3 + k], input[i3 + k + 1u]), w0, w1, w2, w3);
  }
  store(row, column, s0);
  store(row + 1u, column, s1);
  store(row + 2u, column, s2);
  store(row + 3u, column, s3);
}
