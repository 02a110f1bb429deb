// Linear weights in f32, `[out, in]`, rows without padding: what is read beyond a row's end is multiplied by zero.
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;

// Four floats from any word on, for rows that do not start at a multiple of 16 bytes.
fn four_from_word(word: u32) -> vec4<f32> {
  let a = weight[word >> 2u];
  let b = weight[(word >> 2u) + 1u];
  switch word & 3u {
    case 1u: { return vec4<f32>(a.yzw, b.x); }
    case 2u: { return vec4<f32>(a.zw, b.xy); }
    case 3u: { return vec4<f32>(a.w, b.xyz); }
    default: { return a; }
  }
}

fn weights(row: u32, step: u32) -> Eight {
  if (UNALIGNED) {
    let word = row * params.weight_stride + step * 8u;
    return Eight(four_from_word(word), four_from_word(word + 4u));
  }
  let at = row * params.weight_stride + step * 2u;
  return Eight(weight[at], weight[at + 1u]);
}
