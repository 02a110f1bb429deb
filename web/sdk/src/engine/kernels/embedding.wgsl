// output = token table[id] + position table[position] + row 0 of the type table where there is one, for the tokens whose id lies in
// this piece of the token table.
struct Params {
  columns: u32,
  // The rows of the token table that are bound here.
  first_token_row: u32,
  token_rows: u32,
  // In floats.
  output_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// Pairs: token id, position.
@group(0) @binding(1) var<storage, read> ids: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> token_table: array<u32>;
@group(0) @binding(3) var<storage, read> position_table: array<u32>;
@group(0) @binding(4) var<storage, read> type_table: array<u32>;
@group(0) @binding(5) var<storage, read_write> output: array<f32>;

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

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let token = group.x;
  let id = ids[token].x;
  if (id < params.first_token_row || id - params.first_token_row >= params.token_rows) {
    return;
  }
  let row = (id - params.first_token_row) * params.columns;
  let position = ids[token].y * params.columns;
  for (var c = lane; c < params.columns; c += 64u) {
    output[token * params.output_stride + c] = token_element(row + c) + position_element(position + c) + type_element(c);
  }
}
