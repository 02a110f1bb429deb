// Joins the parts of `attention_split`, one query and one head a workgroup: their sums and values brought to the highest peak.
@group(0) @binding(2) var<storage, read> partials: array<vec4<f32>>;

@compute @workgroup_size(QUADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) quad: u32) {
  let block = blocks[group.x];
  let heads = params.hidden_size / params.head_size;
  let first = (group.x * heads + group.y) * params.splits * (QUADS + 1u);
  let end = first + (block.end_key + params.split_keys - 1u) / params.split_keys * (QUADS + 1u);
  var peak = MASKED;
  for (var at = first; at < end; at += QUADS + 1u) {
    peak = max(peak, partials[at + QUADS].x);
  }
  var sum = 0.0;
  var value = vec4<f32>();
  for (var at = first; at < end; at += QUADS + 1u) {
    let part = partials[at + QUADS];
    let fade = exp(part.x - peak);
    sum = fma(part.y, fade, sum);
    value = fma(partials[at + quad], vec4<f32>(fade), value);
  }
  let to = block.first_query * params.output_stride + group.y * params.head_size + quad * 4u;
  for (var e = 0u; e < 4u; e++) {
    if (quad * 4u + e < params.head_size) {
      output[to + e] = value[e] / sum;
    }
  }
}
