// output = activation(sum of slices + bias), row by row.
struct Params {
  rows: u32,
  columns: u32,
  slices: u32,
  // In vec4s, of each row of slices and output.
  stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> output: array<vec4<f32>>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let quad = group.x * THREADS + lane;
  if (quad >= params.stride) {
    return;
  }
  let at = group.y * params.stride + quad;
  let sum = sum_of_slices(at, params.rows * params.stride) + bias[quad];
  let activated = vec4<f32>(activate(sum.x), activate(sum.y), activate(sum.z), activate(sum.w));
  output[at] = within(quad, params.columns, activated);
}
