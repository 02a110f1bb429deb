// output = (input - mean) / sqrt(variance + epsilon) * weight + bias, row by row; a workgroup owns a row.
// Mean first, then the variance around it: the one-pass form cancels where the mean is large.
struct Params {
  columns: u32,
  // In floats, of input and output.
  stride: u32,
  epsilon: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> output: array<f32>;

const LANES: u32 = 64u;
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

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.x * params.stride;
  let count = f32(params.columns);
  var sum = 0.0;
  for (var c = lane; c < params.columns; c += LANES) {
    sum += input[row + c];
  }
  let mean = total(lane, sum) / count;
  var squares = 0.0;
  for (var c = lane; c < params.columns; c += LANES) {
    let d = input[row + c] - mean;
    squares += d * d;
  }
  let factor = 1.0 / sqrt(total(lane, squares) / count + params.epsilon);
  for (var c = lane; c < params.columns; c += LANES) {
    output[row + c] = (input[row + c] - mean) * factor * weight[c] + bias[c];
  }
}
