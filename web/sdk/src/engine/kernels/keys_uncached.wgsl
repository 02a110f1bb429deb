// Keys and values as this run's matmul gives them.
fn key_four(block: Block, key: u32, part: u32, column: u32, quad: u32) -> vec4<f32> {
  return four(key, part * params.hidden_size + column, quad);
}

fn keep(block: Block, row: u32, column: u32, first_quad: u32, step: u32) {}
