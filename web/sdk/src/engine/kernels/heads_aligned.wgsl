// Heads whose size is a multiple of 4.
@group(0) @binding(2) var<storage, read> qkv: array<vec4<f32>>;

fn four(row: u32, column: u32, quad: u32) -> vec4<f32> {
  return qkv[(row * params.qkv_stride + column) / 4u + quad];
}
