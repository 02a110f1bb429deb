struct Params {
  head_size: u32,
  hidden_size: u32,
  // In floats.
  qkv_stride: u32,
  output_stride: u32,
  scale: f32,
  // Parts that the keys of a query are split into at most, and the keys of each.
  splits: u32,
  split_keys: u32,
}

// Queries of one sequence, and the keys that they may see. A key is a number from `first_key` on: those below `past` lie in the
// cache, from its row `cache_row` on, and the others in `qkv`, `shift` rows before their number.
struct Block {
  first_query: u32,
  queries: u32,
  first_key: u32,
  end_key: u32,
  shift: u32,
  past: u32,
  cache_row: u32,
  unused: u32,
}

// Parts of a row of `qkv`; the query is the first.
const KEY = 1u;
const VALUE = 2u;

// Finite, so that a difference of two masked scores is zero and not NaN.
const MASKED: f32 = -1e30;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> blocks: array<Block>;
@group(0) @binding(3) var<storage, read_write> output: array<f32>;
