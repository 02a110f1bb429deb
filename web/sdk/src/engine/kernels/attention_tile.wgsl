// Attention of QUERIES tokens of one sequence and one head a workgroup, over tiles of KEYS keys with a running softmax: the forward
// pass of FlashAttention-2 (Dao, arXiv:2307.08691). No matrix of scores is stored, whatever the length. A team of LANES threads owns
// ROWS queries; a lane computes the scores of four keys for each of them, and its share of the output's columns.
const LANES = KEYS / 4u;
const TEAMS = QUERIES / ROWS;
const THREADS = TEAMS * LANES;
const OWNED = (QUADS + LANES - 1u) / LANES;
// An odd number of vec4s, so that neighbouring rows lie in different banks.
const PITCH = QUADS | 1u;
const SCORE_PITCH = LANES | 1u;

var<workgroup> query_tile: array<vec4<f32>, QUERIES * PITCH>;
// The keys, then the values of the same tokens.
var<workgroup> key_tile: array<vec4<f32>, KEYS * PITCH>;
// Element e of lane l is key l + e * LANES.
var<workgroup> scores: array<vec4<f32>, QUERIES * SCORE_PITCH>;

fn load(block: Block, thread: u32, first: u32, part: u32, column: u32) {
  for (var i = thread; i < KEYS * QUADS; i += THREADS) {
    let key = first + i / QUADS;
    var elements = vec4<f32>();
    if (key < block.end_key) {
      elements = key_four(block, key, part, column, i % QUADS);
    }
    key_tile[i / QUADS * PITCH + i % QUADS] = elements;
  }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let block = blocks[group.x];
  let column = group.y * params.head_size;
  let lane = thread % LANES;
  let team = thread / LANES;
  let one = vec4<f32>(1.0);
  for (var query = 0u; query < block.queries; query++) {
    keep(block, block.first_query + query, column, thread, THREADS);
  }
  for (var i = thread; i < QUERIES * QUADS; i += THREADS) {
    var elements = vec4<f32>();
    if (i / QUADS < block.queries) {
      elements = four(block.first_query + i / QUADS, column, i % QUADS) * params.scale;
    }
    query_tile[i / QUADS * PITCH + i % QUADS] = elements;
  }
  var peaks: array<f32, ROWS>;
  for (var r = 0u; r < ROWS; r++) {
    peaks[r] = MASKED;
  }
  var sums: array<f32, ROWS>;
  var values: array<vec4<f32>, ROWS * OWNED>;
  for (var first = block.first_key; first < block.end_key; first += KEYS) {
    workgroupBarrier();
    load(block, thread, first, KEY, column);
    workgroupBarrier();
    // Without a value of its own, a variable in a loop is zeroed once by some compilers, not each time around.
    var dots = array<vec4<f32>, ROWS * 4u>();
    for (var quad = 0u; quad < QUADS; quad++) {
      let k0 = key_tile[lane * PITCH + quad];
      let k1 = key_tile[(lane + LANES) * PITCH + quad];
      let k2 = key_tile[(lane + 2u * LANES) * PITCH + quad];
      let k3 = key_tile[(lane + 3u * LANES) * PITCH + quad];
      for (var r = 0u; r < ROWS; r++) {
        let q = query_tile[(team + r * TEAMS) * PITCH + quad];
        dots[r * 4u] = fma(q, k0, dots[r * 4u]);
        dots[r * 4u + 1u] = fma(q, k1, dots[r * 4u + 1u]);
        dots[r * 4u + 2u] = fma(q, k2, dots[r * 4u + 2u]);
        dots[r * 4u + 3u] = fma(q, k3, dots[r * 4u + 3u]);
      }
    }
    let keys = vec4<u32>(first + lane) + vec4<u32>(0u, LANES, 2u * LANES, 3u * LANES);
    var own: array<vec4<f32>, ROWS>;
    for (var r = 0u; r < ROWS; r++) {
      let query = team + r * TEAMS;
      let score = vec4<f32>(
        dot(dots[r * 4u], one),
        dot(dots[r * 4u + 1u], one),
        dot(dots[r * 4u + 2u], one),
        dot(dots[r * 4u + 3u], one),
      );
      let end = select(block.end_key, min(block.end_key, block.first_query + query + block.shift + 1u), CAUSAL);
      own[r] = select(score, vec4<f32>(MASKED), keys >= vec4<u32>(end));
      scores[query * SCORE_PITCH + lane] = own[r];
    }
    workgroupBarrier();
    load(block, thread, first, VALUE, column);
    var tile_peaks: array<f32, ROWS>;
    for (var r = 0u; r < ROWS; r++) {
      var most = vec4<f32>(peaks[r]);
      for (var j = 0u; j < LANES; j++) {
        most = max(most, scores[(team + r * TEAMS) * SCORE_PITCH + j]);
      }
      tile_peaks[r] = max(max(most.x, most.y), max(most.z, most.w));
    }
    workgroupBarrier();
    for (var r = 0u; r < ROWS; r++) {
      let share = exp(own[r] - tile_peaks[r]);
      let masked = own[r] == vec4<f32>(MASKED);
      scores[(team + r * TEAMS) * SCORE_PITCH + lane] = select(share, vec4<f32>(), masked);
      let fade = exp(peaks[r] - tile_peaks[r]);
      peaks[r] = tile_peaks[r];
      sums[r] *= fade;
      for (var i = 0u; i < OWNED; i++) {
        values[r * OWNED + i] *= fade;
      }
    }
    workgroupBarrier();
    for (var j = 0u; j < LANES; j++) {
      var shares: array<vec4<f32>, ROWS>;
      for (var r = 0u; r < ROWS; r++) {
        shares[r] = scores[(team + r * TEAMS) * SCORE_PITCH + j];
        sums[r] += dot(shares[r], one);
      }
      for (var i = 0u; i < OWNED; i++) {
        let at = j * PITCH + lane + i * LANES;
        let v0 = key_tile[at];
        let v1 = key_tile[at + LANES * PITCH];
        let v2 = key_tile[at + 2u * LANES * PITCH];
        let v3 = key_tile[at + 3u * LANES * PITCH];
        for (var r = 0u; r < ROWS; r++) {
          let s = shares[r];
          values[r * OWNED + i] += s.x * v0 + s.y * v1 + s.z * v2 + s.w * v3;
        }
      }
    }
  }
  for (var r = 0u; r < ROWS; r++) {
    let query = team + r * TEAMS;
    if (query < block.queries) {
      let factor = select(1.0 / sums[r], 0.0, sums[r] == 0.0);
      let at = (block.first_query + query) * params.output_stride + column;
      for (var i = 0u; i < OWNED; i++) {
        let d = (lane + i * LANES) * 4u;
        for (var e = 0u; e < 4u; e++) {
          if (d + e < params.head_size) {
            output[at + d + e] = values[r * OWNED + i][e] * factor;
          }
        }
      }
    }
  }
}
