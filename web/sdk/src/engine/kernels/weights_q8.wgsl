// Linear weights in q8, `[out, in]`: eight signed bytes a vec2, a scale for each 32 columns.
@group(0) @binding(2) var<storage, read> weight: array<vec2<u32>>;
@group(0) @binding(5) var<storage, read> scales: array<u32>;

fn weights(row: u32, step: u32) -> Eight {
  let at = row * params.weight_stride + step;
  let q = weight[at];
  let scale = unpack2x16float(scales[at >> 3u])[(at >> 2u) & 1u];
  return Eight(vec4<f32>(unpack4xI8(q.x)) * scale, vec4<f32>(unpack4xI8(q.y)) * scale);
}
