// Chosen rows of `input`, one behind the other.
struct Params {
  // In vec4s, of each row.
  stride: u32,
  // The place in `rows` of the first row of `output`.
  first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<u32>;
@group(0) @binding(2) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> output: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = rows[params.first + group.x];
  for (var quad = lane; quad < params.stride; quad += 64u) {
    output[group.x * params.stride + quad] = input[row * params.stride + quad];
  }
}
