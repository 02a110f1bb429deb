// Causal attention of one token and one head a workgroup, with a running softmax (Milakov and Gimelshein,
// arXiv:1805.02867) over tiles of 64 keys: no matrix of scores is stored, whatever the length.
struct Params {
  head_size: u32,
  hidden_size: u32,
  // In floats.
  qkv_stride: u32,
  output_stride: u32,
  scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
// For each token the row at which its sequence starts.
@group(0) @binding(1) var<storage, read> starts: array<u32>;
@group(0) @binding(2) var<storage, read> qkv: array<f32>;
@group(0) @binding(3) var<storage, read_write> output: array<f32>;

const TILE: u32 = 64u;
// A head of at most 256 elements: a lane owns up to four of them.
const OWNED: u32 = 4u;
// Finite, so that a difference of two masked scores is zero and not NaN.
const MASKED: f32 = -1e30;

var<workgroup> query: array<f32, 256>;
var<workgroup> scores: array<f32, TILE>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let token = group.x;
  let size = params.head_size;
  let head = group.y * size;
  let start = starts[token];
  for (var d = lane; d < size; d += TILE) {
    query[d] = qkv[token * params.qkv_stride + head + d] * params.scale;
  }
  var peak = MASKED;
  var sum = 0.0;
  var values = vec4<f32>();
  for (var first = start; first <= token; first += TILE) {
    workgroupBarrier();
    let key = first + lane;
    var score = MASKED;
    if (key <= token) {
      let at = key * params.qkv_stride + params.hidden_size + head;
      score = 0.0;
      for (var d = 0u; d < size; d++) {
        score += query[d] * qkv[at + d];
      }
    }
    scores[lane] = score;
    workgroupBarrier();
    let count = min(TILE, token + 1u - first);
    var tile_peak = peak;
    for (var k = 0u; k < count; k++) {
      tile_peak = max(tile_peak, scores[k]);
    }
    workgroupBarrier();
    scores[lane] = exp(score - tile_peak);
    workgroupBarrier();
    let fade = exp(peak - tile_peak);
    peak = tile_peak;
    sum *= fade;
    values *= fade;
    for (var k = 0u; k < count; k++) {
      let share = scores[k];
      sum += share;
      let at = (first + k) * params.qkv_stride + 2u * params.hidden_size + head;
      for (var i = 0u; i < OWNED && lane + i * TILE < size; i++) {
        values[i] += share * qkv[at + lane + i * TILE];
      }
    }
  }
  let factor = select(1.0 / sum, 0.0, sum == 0.0);
  for (var i = 0u; i < OWNED && lane + i * TILE < size; i++) {
    output[token * params.output_stride + head + lane + i * TILE] = values[i] * factor;
  }
}
