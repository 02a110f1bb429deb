// Linear weights in f16, `[out, in]`, eight halves a vec4.
@group(0) @binding(2) var<storage, read> weight: array<vec4<u32>>;

fn weights(row: u32, step: u32) -> Eight {
  let q = weight[row * params.weight_stride + step];
  return Eight(
    vec4<f32>(unpack2x16float(q.x), unpack2x16float(q.y)),
    vec4<f32>(unpack2x16float(q.z), unpack2x16float(q.w)),
  );
}
