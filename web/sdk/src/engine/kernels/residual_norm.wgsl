// hidden += sum of slices + bias, and its LayerNorm, row by row; a workgroup owns a row. Behind attention and MLP, and with no slices
// the LayerNorm alone. With POST the LayerNorm is what `hidden` becomes; else `normed` is, for the next matmul to read.
// Mean first, then the variance around it: the one-pass form cancels where the mean is large.
struct Params {
  rows: u32,
  columns: u32,
  slices: u32,
  // In floats, of each row.
  stride: u32,
  epsilon: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partials: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read> norm_bias: array<f32>;
@group(0) @binding(5) var<storage, read_write> hidden: array<f32>;
@group(0) @binding(6) var<storage, read_write> normed: array<f32>;

// Columns of a lane that it keeps in registers; it reads those of wider rows again.
const KEPT = 8u;

var<workgroup> partial: array<f32, LANES>;

fn total(lane: u32, value: f32) -> f32 {
  partial[lane] = value;
  workgroupBarrier();
  for (var width = LANES / 2u; width > 0u; width /= 2u) {
    if (lane < width) {
      partial[lane] += partial[lane + width];
    }
    workgroupBarrier();
  }
  let sum = partial[0];
  workgroupBarrier();
  return sum;
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.x * params.stride;
  let count = f32(params.columns);
  var kept: array<f32, KEPT>;
  var sum = 0.0;
  for (var i = 0u; lane + i * LANES < params.columns; i++) {
    let c = lane + i * LANES;
    var value = hidden[row + c];
    if (params.slices > 0u) {
      value += bias[c];
      for (var slice = 0u; slice < params.slices; slice++) {
        value += partials[(slice * params.rows + group.x) * params.stride + c];
      }
      hidden[row + c] = value;
    }
    if (i < KEPT) {
      kept[i] = value;
    }
    sum += value;
  }
  let mean = total(lane, sum) / count;
  var squares = 0.0;
  for (var i = 0u; lane + i * LANES < params.columns; i++) {
    var value = 0.0;
    if (i < KEPT) {
      value = kept[i];
    } else {
      value = hidden[row + lane + i * LANES];
    }
    squares += (value - mean) * (value - mean);
  }
  let factor = 1.0 / sqrt(total(lane, squares) / count + params.epsilon);
  for (var i = 0u; lane + i * LANES < params.columns; i++) {
    let c = lane + i * LANES;
    var value = 0.0;
    if (i < KEPT) {
      value = kept[i];
    } else {
      value = hidden[row + c];
    }
    let result = (value - mean) * factor * weight[c] + norm_bias[c];
    if (POST) {
      hidden[row + c] = result;
    } else {
      normed[row + c] = result;
    }
  }
}
