// output = activation(sum of slices + bias), row by row.
struct Params {
  rows: u32,
  columns: u32,
  slices: u32,
  // In floats, of each row of slices and output.
  stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partials: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let column = group.x * 128u + lane;
  let row = group.y;
  if (column >= params.columns) {
    return;
  }
  var sum = 0.0;
  for (var slice = 0u; slice < params.slices; slice++) {
    sum += partials[(slice * params.rows + row) * params.stride + column];
  }
  output[row * params.stride + column] = activate(sum + bias[column]);
}
