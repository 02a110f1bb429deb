// The rows of `input` as they are.
fn prepare(thread: u32) {}

fn eight_of(row: u32, step: u32) -> Eight {
  let at = row * params.input_stride + 2u * step;
  return Eight(input[at], input[at + 1u]);
}
