// The `k` highest of each run of SCORES scores of a row, in order; of equal ones the lowest token id first. Applied to its own output
// until one run is left. A bitonic sort (Batcher 1968): its steps are few, whatever `k` is.
struct Params {
  // Scores of a row.
  count: u32,
  // In words.
  input_stride: u32,
  k: u32,
  // In pairs.
  output_stride: u32,
  first_output_row: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// Floats whose place is the token's id where RAW; else pairs as `output` has them.
@group(0) @binding(1) var<storage, read> input: array<u32>;
// Pairs: the float, the token's id.
@group(0) @binding(2) var<storage, read_write> output: array<vec2<u32>>;

const SIGN = 0x80000000u;
// The id of what fills up a run; below everything.
const NOBODY = 0xffffffffu;

// Order among these keys is the order of the floats, and NaN is above all: it must be seen, not passed over.
var<workgroup> keys: array<u32, SCORES>;
var<workgroup> ids: array<u32, SCORES>;

fn key_of(bits: u32) -> u32 {
  let magnitude = bits & ~SIGN;
  if (magnitude > 0x7f800000u) {
    return 0xffffffffu;
  }
  // Both zeros are one score.
  return select(bits | SIGN, ~bits, bits > SIGN);
}

fn float_of(key: u32) -> u32 {
  return select(~key, key & ~SIGN, key >= SIGN);
}

fn comes_first(a: u32, b: u32) -> bool {
  return keys[a] > keys[b] || (keys[a] == keys[b] && ids[a] < ids[b]);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let first = group.x * SCORES;
  for (var i = thread; i < SCORES; i += THREADS) {
    keys[i] = 0u;
    ids[i] = NOBODY;
    if (first + i < params.count) {
      let row = group.y * params.input_stride;
      if (RAW) {
        keys[i] = key_of(input[row + first + i]);
        ids[i] = first + i;
      } else {
        ids[i] = input[row + 2u * (first + i) + 1u];
        keys[i] = select(key_of(input[row + 2u * (first + i)]), 0u, ids[i] == NOBODY);
      }
    }
  }
  for (var size = 2u; size <= SCORES; size *= 2u) {
    for (var gap = size / 2u; gap > 0u; gap /= 2u) {
      workgroupBarrier();
      for (var pair = thread; pair < SCORES / 2u; pair += THREADS) {
        let a = 2u * pair - (pair & (gap - 1u));
        let b = a + gap;
        if (comes_first(b, a) == ((a & size) == 0u)) {
          let key = keys[a];
          let id = ids[a];
          keys[a] = keys[b];
          ids[a] = ids[b];
          keys[b] = key;
          ids[b] = id;
        }
      }
    }
  }
  workgroupBarrier();
  if (thread < params.k) {
    let at = (params.first_output_row + group.y) * params.output_stride + group.x * params.k + thread;
    output[at] = vec2<u32>(float_of(keys[thread]), ids[thread]);
  }
}
