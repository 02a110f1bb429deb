// For processors that emulate a GPU: a thread owns a register tile of 4 rows by 4 columns; workgroup memory would only cost there.
fn row_of_sums(a: Eight, w0: Eight, w1: Eight, w2: Eight, w3: Eight) -> vec4<f32> {
  return vec4<f32>(
    dot(a.low, w0.low) + dot(a.high, w0.high),
    dot(a.low, w1.low) + dot(a.high, w1.high),
    dot(a.low, w2.low) + dot(a.high, w2.high),
    dot(a.low, w3.low) + dot(a.high, w3.high),
  );
}

@compute @workgroup_size(ACROSS, DOWN)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let column = id.x * 4u;
  let row = id.y * 4u;
  if (column >= params.columns || row >= params.rows) {
    return;
  }
  let last_row = params.rows - 1u;
  let last_column = params.columns - 1u;
  let i0 = row * params.input_stride;
  let i1 = min(row + 1u, last_row) * params.input_stride;
  let i2 = min(row + 2u, last_row) * params.input_stride;
  let i3 = min(row + 3u, last_row) * params.input_stride;
  let c1 = min(column + 1u, last_column);
  let c2 = min(column + 2u, last_column);
  let c3 = min(column + 3u, last_column);
  var s0 = vec4<f32>();
  var s1 = vec4<f32>();
  var s2 = vec4<f32>();
  var s3 = vec4<f32>();
  for (var step = 0u; step < params.steps; step++) {
    let w0 = weights(column, step);
    let w1 = weights(c1, step);
    let w2 = weights(c2, step);
    let w3 = weights(c3, step);
    let k = step * 2u;
    s0 += row_of_sums(Eight(input[i0 + k], input[i0 + k + 1u]), w0, w1, w2, w3);
    s1 += row_of_sums(Eight(input[i1 + k], input[i1 + k + 1u]), w0, w1, w2, w3);
    s2 += row_of_sums(Eight(input[i2 + k], input[i2 + k + 1u]), w0, w1, w2, w3);
    s3 += row_of_sums(Eight(input[i3 + k], input[i3 + k + 1u]), w0, w1, w2, w3);
  }
  // In loops: what follows each sum is compiled once, not sixteen times.
  var sums = array<vec4<f32>, 4>(s0, s1, s2, s3);
  for (var r = 0u; r < 4u; r++) {
    for (var c = 0u; c < 4u; c++) {
      store(row + r, column + c, sums[r][c]);
    }
  }
}
