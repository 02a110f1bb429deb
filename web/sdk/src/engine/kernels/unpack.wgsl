// Spreads the activations of a message, rows end to end, over rows of the workspace's stride.
struct Params {
  columns: u32,
  // In floats.
  output_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<u32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;

fn element(i: u32) -> f32 {
  if (F16) {
    return unpack2x16float(input[i >> 1u])[i & 1u];
  }
  return bitcast<f32>(input[i]);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  for (var c = lane; c < params.columns; c += 64u) {
    output[group.x * params.output_stride + c] = element(group.x * params.columns + c);
  }
}
