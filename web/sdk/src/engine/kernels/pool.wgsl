// One vector a sequence from its rows: their mean, the last or the first; divided by its L2 norm where asked.
struct Params {
  columns: u32,
  // In vec4s.
  input_stride: u32,
  // Row of `output` for the first sequence of this run.
  first_output_row: u32,
  // 0 mean, 1 last, 2 cls
  kind: u32,
  normalize: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// Pairs: first row of the sequence, number of rows.
@group(0) @binding(1) var<storage, read> sequences: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> output: array<f32>;

// The sum of `count` rows from a vec4 of the first on, eight reads in flight at a time.
fn sum_of_rows(first: u32, count: u32) -> vec4<f32> {
  let stride = params.input_stride;
  var sum = vec4<f32>();
  var at = first;
  var row = 0u;
  for (; row + 8u <= count; row += 8u) {
    let a = (input[at] + input[at + stride]) + (input[at + 2u * stride] + input[at + 3u * stride]);
    at += 4u * stride;
    let b = (input[at] + input[at + stride]) + (input[at + 2u * stride] + input[at + 3u * stride]);
    at += 4u * stride;
    sum += a + b;
  }
  for (; row < count; row++) {
    sum += input[at];
    at += stride;
  }
  return sum;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let sequence = sequences[group.x];
  var first = sequence.x;
  var count = sequence.y;
  if (params.kind == 1u) {
    first += count - 1u;
  }
  if (params.kind != 0u) {
    count = 1u;
  }
  let at = (params.first_output_row + group.x) * params.columns;
  var squares = 0.0;
  for (var quad = thread; quad * 4u < params.columns; quad += THREADS) {
    // What pads a row is zero.
    let value = sum_of_rows(first * params.input_stride + quad, count) / f32(count);
    squares += dot(value, value);
    for (var e = 0u; e < 4u && quad * 4u + e < params.columns; e++) {
      output[at + quad * 4u + e] = value[e];
    }
  }
  let norm = sqrt(total(thread, squares));
  if (params.normalize != 0u) {
    // A row of zeros stays one.
    let factor = 1.0 / max(norm, 1e-12);
    for (var quad = thread; quad * 4u < params.columns; quad += THREADS) {
      for (var e = 0u; e < 4u && quad * 4u + e < params.columns; e++) {
        output[at + quad * 4u + e] *= factor;
      }
    }
  }
}
