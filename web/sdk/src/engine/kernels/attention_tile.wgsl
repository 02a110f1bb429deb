// Attention of QUERIES tokens of one sequence and one head a workgroup, over tiles of KEYS keys with a running softmax: the forward
// pass of FlashAttention-2 (Dao, arXiv:2307.08691). No matrix of scores is stored, whatever the length.
const THREADS = 128u;
const LANES = THREADS / QUERIES;
const OWNED = (QUADS + LANES - 1u) / LANES;
// An odd number of vec4s, so that neighbouring rows lie in different banks.
const PITCH = QUADS | 1u;
const SCORE_PITCH = KEYS + 1u;

var<workgroup> query_tile: array<vec4<f32>, QUERIES * PITCH>;
// The keys, then the values of the same tokens.
var<workgroup> key_tile: array<vec4<f32>, KEYS * PITCH>;
var<workgroup> scores: array<f32, QUERIES * SCORE_PITCH>;

fn load_tile(thread: u32, first: u32, end: u32, column: u32) {
  for (var i = thread; i < KEYS * QUADS; i += THREADS) {
    let key = first + i / QUADS;
    var four_elements = vec4<f32>();
    if (key < end) {
      four_elements = four(key, column, i % QUADS);
    }
    key_tile[i / QUADS * PITCH + i % QUADS] = four_elements;
  }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let block = blocks[group.x];
  let column = group.y * params.head_size;
  let lane = thread % LANES;
  let query = thread / LANES;
  let row = block.first_query + query;
  for (var i = thread; i < QUERIES * QUADS; i += THREADS) {
    var four_elements = vec4<f32>();
    if (i / QUADS < block.queries) {
      four_elements = four(block.first_query + i / QUADS, column, i % QUADS) * params.scale;
    }
    query_tile[i / QUADS * PITCH + i % QUADS] = four_elements;
  }
  var peak = MASKED;
  var sum = 0.0;
  var values: array<vec4<f32>, OWNED>;
  for (var first = block.first_key; first < block.end_key; first += KEYS) {
    workgroupBarrier();
    load_tile(thread, first, block.end_key, params.hidden_size + column);
    workgroupBarrier();
    for (var k = lane; k < KEYS; k += LANES) {
      var dots = vec4<f32>();
      for (var quad = 0u; quad < QUADS; quad++) {
        dots = fma(query_tile[query * PITCH + quad], key_tile[k * PITCH + quad], dots);
      }
      let hidden = first + k >= block.end_key || (CAUSAL && first + k > row);
      scores[query * SCORE_PITCH + k] = select(dot(dots, vec4<f32>(1.0)), MASKED, hidden);
    }
    workgroupBarrier();
    load_tile(thread, first, block.end_key, 2u * params.hidden_size + column);
    var tile_peak = peak;
    for (var k = 0u; k < KEYS; k++) {
      tile_peak = max(tile_peak, scores[query * SCORE_PITCH + k]);
    }
    workgroupBarrier();
    for (var k = lane; k < KEYS; k += LANES) {
      let score = scores[query * SCORE_PITCH + k];
      scores[query * SCORE_PITCH + k] = select(exp(score - tile_peak), 0.0, score == MASKED);
    }
    workgroupBarrier();
    let fade = exp(peak - tile_peak);
    peak = tile_peak;
    sum *= fade;
    for (var i = 0u; i < OWNED; i++) {
      values[i] *= fade;
    }
    for (var k = 0u; k < KEYS; k++) {
      let share = scores[query * SCORE_PITCH + k];
      sum += share;
      for (var i = 0u; i < OWNED; i++) {
        values[i] = fma(vec4<f32>(share), key_tile[k * PITCH + lane + i * LANES], values[i]);
      }
    }
  }
  if (query >= block.queries) {
    return;
  }
  let factor = select(1.0 / sum, 0.0, sum == 0.0);
  let at = (row - params.first_row) * params.output_stride + column;
  for (var i = 0u; i < OWNED; i++) {
    let d = (lane + i * LANES) * 4u;
    for (var e = 0u; e < 4u; e++) {
      if (d + e < params.head_size) {
        output[at + d + e] = values[i][e] * factor;
      }
    }
  }
}
