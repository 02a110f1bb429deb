// Heads of any size: the last four elements end with zeros.
@group(0) @binding(2) var<storage, read> qkv: array<f32>;

fn four(row: u32, column: u32, quad: u32) -> vec4<f32> {
  let at = row * params.qkv_stride + column + quad * 4u;
  let rest = params.head_size - quad * 4u;
  return vec4<f32>(
    qkv[at],
    select(0.0, qkv[at + 1u], rest > 1u),
    select(0.0, qkv[at + 2u], rest > 2u),
    select(0.0, qkv[at + 3u], rest > 3u),
  );
}
