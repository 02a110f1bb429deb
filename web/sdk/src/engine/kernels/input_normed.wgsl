// The LayerNorm of the only row of `input`. Each workgroup computes it anew: for one row that costs less than a dispatch of its own.
@group(0) @binding(NORM_BINDING) var<storage, read> norm_weight: array<vec4<f32>>;
@group(0) @binding(NORM_BINDING + 1u) var<storage, read> norm_bias: array<vec4<f32>>;

fn own(i: u32, quad: u32) -> vec4<f32> {
  return input[quad];
}

fn prepare(thread: u32) {
  var sum = 0.0;
  for (var quad = thread; quad < params.input_stride; quad += THREADS) {
    sum += dot(input[quad], vec4<f32>(1.0));
  }
  find_statistics(thread, sum, params.inner, params.input_stride, params.epsilon);
}

fn normed(quad: u32) -> vec4<f32> {
  return normalised(quad, params.inner, input[quad], norm_weight[quad], norm_bias[quad]);
}

fn eight_of(row: u32, step: u32) -> Eight {
  return Eight(normed(2u * step), normed(2u * step + 1u));
}
