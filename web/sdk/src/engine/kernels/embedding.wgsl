// output = token table[id] + position table[position] + row 0 of the type table where there is one, and its LayerNorm where there is
// one, for the tokens whose id lies in this piece of the token table.
struct Params {
  columns: u32,
  // The rows of the token table that are bound here.
  first_token_row: u32,
  token_rows: u32,
  // In vec4s.
  output_stride: u32,
  epsilon: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
// Pairs: token id, position.
@group(0) @binding(1) var<storage, read> ids: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> token_table: array<u32>;
@group(0) @binding(3) var<storage, read> position_table: array<u32>;
@group(0) @binding(4) var<storage, read> type_table: array<u32>;
@group(0) @binding(5) var<storage, read_write> output: array<vec4<f32>>;

fn half_of(word: u32, odd: u32) -> f32 {
  return unpack2x16float(word)[odd];
}

fn token_element(i: u32) -> f32 {
  if (F16) {
    return half_of(token_table[i >> 1u], i & 1u);
  }
  return bitcast<f32>(token_table[i]);
}

fn position_element(i: u32) -> f32 {
  if (F16) {
    return half_of(position_table[i >> 1u], i & 1u);
  }
  return bitcast<f32>(position_table[i]);
}

fn type_element(i: u32) -> f32 {
  if (!TYPES) {
    return 0.0;
  }
  if (F16) {
    return half_of(type_table[i >> 1u], i & 1u);
  }
  return bitcast<f32>(type_table[i]);
}

// In elements, of the tables that have a row of this token's.
var<private> token_row: u32;
var<private> position_row: u32;

fn embedded(quad: u32) -> vec4<f32> {
  var sum: vec4<f32>;
  for (var e = 0u; e < 4u; e++) {
    let c = quad * 4u + e;
    sum[e] = token_element(token_row + c) + position_element(position_row + c) + type_element(c);
  }
  return within(quad, params.columns, sum);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let id = ids[group.x].x;
  if (id < params.first_token_row || id - params.first_token_row >= params.token_rows) {
    return;
  }
  token_row = (id - params.first_token_row) * params.columns;
  position_row = ids[group.x].y * params.columns;
  store_row(thread, group.x * params.output_stride);
}
