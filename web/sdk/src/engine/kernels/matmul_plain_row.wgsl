// For processors that emulate a GPU, and a few rows: a thread owns 4 columns of one row.
@compute @workgroup_size(ACROSS, DOWN)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let column = id.x * 4u;
  if (column >= params.columns) {
    return;
  }
  let row = id.y * params.input_stride;
  let last_column = params.columns - 1u;
  let c1 = min(column + 1u, last_column);
  let c2 = min(column + 2u, last_column);
  let c3 = min(column + 3u, last_column);
  var sums = vec4<f32>();
  for (var step = 0u; step < params.steps; step++) {
    let low = input[row + step * 2u];
    let high = input[row + step * 2u + 1u];
    let w0 = weights(column, step);
    let w1 = weights(c1, step);
    let w2 = weights(c2, step);
    let w3 = weights(c3, step);
    sums += vec4<f32>(
      dot(low, w0.low) + dot(high, w0.high),
      dot(low, w1.low) + dot(high, w1.high),
      dot(low, w2.low) + dot(high, w2.high),
      dot(low, w3.low) + dot(high, w3.high),
    );
  }
  store(id.y, column, sums.x);
  store(id.y, column + 1u, sums.y);
  store(id.y, column + 2u, sums.z);
  store(id.y, column + 3u, sums.w);
}
