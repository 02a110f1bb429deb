// hidden += sum of slices + bias, and its LayerNorm, row by row; a workgroup owns a row. Behind attention and MLP, and with no slices
// the LayerNorm alone. With POST the LayerNorm is what `hidden` becomes; else `normed` is, for the next matmul to read.
struct Params {
  rows: u32,
  columns: u32,
  slices: u32,
  // In vec4s, of each row.
  stride: u32,
  epsilon: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> norm_bias: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> hidden: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> normed: array<vec4<f32>>;

// Elements of a thread that it keeps in registers; it reads those of wider rows again.
const KEPT = 2u;

var<private> kept: array<vec4<f32>, KEPT>;
var<private> row: u32;

fn own(i: u32, quad: u32) -> vec4<f32> {
  if (i < KEPT) {
    return kept[i];
  }
  return hidden[row + quad];
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  row = group.x * params.stride;
  var sum = 0.0;
  for (var i = 0u; thread + i * THREADS < params.stride; i++) {
    let quad = thread + i * THREADS;
    var value = hidden[row + quad];
    if (params.slices > 0u) {
      value += bias[quad] + sum_of_slices(row + quad, params.rows * params.stride);
      value = within(quad, params.columns, value);
      if (!POST || i >= KEPT) {
        hidden[row + quad] = value;
      }
    }
    if (i < KEPT) {
      kept[i] = value;
    }
    sum += dot(value, vec4<f32>(1.0));
  }
  find_statistics(thread, sum, params.columns, params.stride, params.epsilon);
  for (var i = 0u; thread + i * THREADS < params.stride; i++) {
    let quad = thread + i * THREADS;
    let result = normalised(quad, params.columns, own(i, quad), weight[quad], norm_bias[quad]);
    if (POST) {
      hidden[row + quad] = result;
    } else {
      normed[row + quad] = result;
    }
  }
}
