@group(0) @binding(6) var<storage, read> norm_weight: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read> norm_bias: array<vec4<f32>>;

// Computed again: a thread has too many to keep.
fn own(i: u32, quad: u32) -> vec4<f32> {
  return embedded(quad);
}

fn store_row(thread: u32, row: u32) {
  var sum = 0.0;
  for (var quad = thread; quad < params.output_stride; quad += THREADS) {
    sum += dot(embedded(quad), vec4<f32>(1.0));
  }
  find_statistics(thread, sum, params.columns, params.output_stride, params.epsilon);
  for (var quad = thread; quad < params.output_stride; quad += THREADS) {
    output[row + quad] = normalised(quad, params.columns, embedded(quad), norm_weight[quad], norm_bias[quad]);
  }
}
