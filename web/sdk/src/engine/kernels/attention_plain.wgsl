// For processors that emulate a GPU: a thread owns one token and one head, with a running softmax (Milakov and Gimelshein,
// arXiv:1805.02867) over the keys; barriers would only cost there.
@compute @workgroup_size(1, HEADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(global_invocation_id) id: vec3<u32>) {
  let block = blocks[group.x];
  let column = id.y * params.head_size;
  if (column >= params.hidden_size) {
    return;
  }
  let row = block.first_query;
  keep(block, row, column, 0u, 1u);
  var peak = MASKED;
  var sum = 0.0;
  var values: array<vec4<f32>, QUADS>;
  for (var key = block.first_key; key < block.end_key; key++) {
    var dots = vec4<f32>();
    for (var quad = 0u; quad < QUADS; quad++) {
      dots += four(row, column, quad) * key_four(block, key, KEY, column, quad);
    }
    let score = dot(dots, vec4<f32>(params.scale));
    let next_peak = max(peak, score);
    let fade = exp(peak - next_peak);
    let share = exp(score - next_peak);
    peak = next_peak;
    sum = sum * fade + share;
    for (var quad = 0u; quad < QUADS; quad++) {
      values[quad] = values[quad] * fade + share * key_four(block, key, VALUE, column, quad);
    }
  }
  let at = row * params.output_stride + column;
  for (var d = 0u; d < params.head_size; d++) {
    output[at + d] = values[d / 4u][d % 4u] / sum;
  }
}
