// Attention of single tokens: one query, one head and one part of its keys a workgroup, so that a long context fills a GPU
// (Flash-Decoding: Dao, Haziza, Massa, Sizov 2023). Of several parts, each leaves its peak, its sum and its unnormalised values for
// `attention_combine` to join.

// Of a tile, one a thread once their products are summed.
const KEYS = THREADS;
const TEAMS = THREADS / LANES;
const PITCH = LANES | 1u;
// Threads with the same quad of the values, each with keys of its own.
const GROUPS = THREADS / QUADS;

@group(0) @binding(5) var<storage, read_write> partials: array<vec4<f32>>;

var<workgroup> query: array<vec4<f32>, QUADS>;
var<workgroup> products: array<f32, KEYS * PITCH>;
var<workgroup> shares: array<f32, KEYS>;
var<workgroup> sums: array<vec4<f32>, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let block = blocks[group.x];
  let column = group.y * params.head_size;
  let lane = thread % LANES;
  let team = thread / LANES;
  let first = group.z * params.split_keys;
  let end = min(block.end_key, first + params.split_keys);
  if (group.z == 0u) {
    keep(block, block.first_query, column, thread, THREADS);
  }
  if (thread < QUADS) {
    query[thread] = four(block.first_query, column, thread) * params.scale;
  }
  var peak = MASKED;
  var sum = 0.0;
  var value = vec4<f32>();
  for (var tile = first; tile < end; tile += KEYS) {
    workgroupBarrier();
    for (var key = team; key < KEYS; key += TEAMS) {
      var dots = vec4<f32>();
      if (tile + key < end) {
        for (var quad = lane; quad < QUADS; quad += LANES) {
          dots = fma(query[quad], key_four(block, tile + key, KEY, column, quad), dots);
        }
      }
      products[key * PITCH + lane] = dot(dots, vec4<f32>(1.0));
    }
    workgroupBarrier();
    var score = 0.0;
    for (var i = 0u; i < LANES; i++) {
      score += products[thread * PITCH + i];
    }
    score = select(MASKED, score, tile + thread < end);
    shares[thread] = score;
    workgroupBarrier();
    var tile_peak = peak;
    for (var i = 0u; i < KEYS; i++) {
      tile_peak = max(tile_peak, shares[i]);
    }
    workgroupBarrier();
    shares[thread] = select(0.0, exp(score - tile_peak), tile + thread < end);
    workgroupBarrier();
    let fade = exp(peak - tile_peak);
    peak = tile_peak;
    sum *= fade;
    for (var i = 0u; i < KEYS; i++) {
      sum += shares[i];
    }
    value *= fade;
    if (thread < GROUPS * QUADS) {
      for (var key = thread / QUADS; key < min(KEYS, end - tile); key += GROUPS) {
        value += shares[key] * key_four(block, tile + key, VALUE, column, thread % QUADS);
      }
    }
  }
  sums[thread] = value;
  workgroupBarrier();
  // A part behind the last key is nobody's.
  if (thread >= QUADS || first >= end) {
    return;
  }
  var total = vec4<f32>();
  for (var i = 0u; i < GROUPS; i++) {
    total += sums[i * QUADS + thread];
  }
  if (params.splits == 1u) {
    let at = block.first_query * params.output_stride + column;
    for (var e = 0u; e < 4u; e++) {
      if (thread * 4u + e < params.head_size) {
        output[at + thread * 4u + e] = total[e] / sum;
      }
    }
    return;
  }
  let heads = params.hidden_size / params.head_size;
  let at = ((group.x * heads + group.y) * params.splits + group.z) * (QUADS + 1u);
  partials[at + thread] = total;
  if (thread == 0u) {
    partials[at + QUADS] = vec4<f32>(peak, sum, 0.0, 0.0);
  }
}
