// Keys and values of earlier runs from the cache, a token's keys and then its values a row; this run's are kept there. What a run
// keeps it reads from `qkv`, so nothing is read that another workgroup may be writing.
fn key_four(block: Block, key: u32, part: u32, column: u32, quad: u32) -> vec4<f32> {
  if (key < block.past) {
    return cached_four(((block.cache_row + key) * 2u + part - KEY) * params.hidden_size + column, quad);
  }
  return four(key - block.shift, part * params.hidden_size + column, quad);
}

// One head of a token, every `step`th quad from `first_quad` on.
fn keep(block: Block, row: u32, column: u32, first_quad: u32, step: u32) {
  let at = (block.cache_row + row + block.shift) * 2u * params.hidden_size + column;
  for (var quad = first_quad; quad < QUADS; quad += step) {
    cache_four(at, quad, four(row, KEY * params.hidden_size + column, quad));
    cache_four(at + params.hidden_size, quad, four(row, VALUE * params.hidden_size + column, quad));
  }
}
