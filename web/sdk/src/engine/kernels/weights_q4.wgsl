// Linear weights in q4, `[out, in]`: a word holds eight columns, the first four in the low nibbles of its bytes, the others in the
// high ones; a scale for each 32 columns.
@group(0) @binding(2) var<storage, read> weight: array<u32>;
@group(0) @binding(5) var<storage, read> scales: array<u32>;

// A nibble in the low bits of 2^23's mantissa is the float 2^23 + n: cheaper than converting an integer.
fn centred(word: u32) -> vec4<f32> {
  let nibbles = (vec4<u32>(word) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(15u);
  return bitcast<vec4<f32>>(nibbles | vec4<u32>(0x4b000000u)) - 8388616.0;
}

fn weights(row: u32, step: u32) -> Eight {
  let at = row * params.weight_stride + step;
  let q = weight[at];
  let scale = unpack2x16float(scales[at >> 3u])[(at >> 2u) & 1u];
  return Eight(centred(q) * scale, centred(q >> 4u) * scale);
}
